package main

import (
	"bytes"
	"strconv"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/alg/ftp"
)

// maxLogged is how many bytes of a stranger's line are logged.
const maxLogged = 128

// printable makes any bytes fit for a log: ASCII without controls, and not long.
func printable(b []byte) string {
	b = bytes.TrimRight(b, "\r\n")
	cut := ""
	if len(b) > maxLogged {
		b, cut = b[:maxLogged], "..."
	}
	quoted := strconv.AppendQuoteToASCII(nil, string(b))
	return string(quoted[1:len(quoted)-1]) + cut
}

// allNames shows every name.
var allNames = alg.Names{Users: true, Files: true}

// withoutNames hides what follows PASS and ACCT, and the names that are not to be shown: what may hold one,
// as all does but the commands and replies that tell addresses.
func withoutNames(ln []byte, show alg.Names) []byte {
	c := ftp.ParseCommand(ln)
	hide := false
	switch c.Verb {
	case ftp.Pass, ftp.Acct:
		hide = true
	case ftp.User:
		hide = !show.Users
	case ftp.Port, ftp.EPRT, ftp.Pasv, ftp.CPSV, ftp.EPSV, ftp.LPRT, ftp.LPSV, ftp.Auth:
	default:
		code, _ := ftp.ParseReply(ln)
		hide = code != 227 && code != 229 && !(show.Users && show.Files)
	}
	if !hide || c.ArgStart == c.ArgEnd {
		return ln
	}
	return append(bytes.Clone(ln[:c.NameEnd]), " ***"...)
}
