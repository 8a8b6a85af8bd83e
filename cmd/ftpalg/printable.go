package main

import (
	"bytes"
	"strconv"

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

// withoutSecret hides what follows PASS and ACCT.
func withoutSecret(ln []byte) []byte {
	c := ftp.ParseCommand(ln)
	if c.Verb != ftp.Pass && c.Verb != ftp.Acct {
		return ln
	}
	return append(bytes.Clone(ln[:c.NameEnd]), " ***"...)
}
