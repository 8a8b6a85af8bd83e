package alg

import (
	"bytes"

	"github.com/ftpalg/ftpalg/alg/ftp"
)

// Strict holds the rules beyond the standard policy. Each is off in its zero value.
type Strict struct {
	Allow    []string // the only commands allowed, in upper case; empty: all
	Deny     []string // commands refused, in upper case
	ReadOnly bool     // refuse every command that changes files
	MaxLine  int      // longest command line in bytes, without its end; 0: any
}

// changing are the commands that change what is on the server (RFC 959, 3659 and common use).
var changing = []string{"STOR", "STOU", "APPE", "DELE", "RMD", "XRMD", "MKD", "XMKD", "RNFR", "RNTO", "SITE", "MFMT", "MFCT", "MFF", "ALLO"}

// active tells whether any rule is on.
func (s *Strict) active() bool {
	return s.ReadOnly || s.MaxLine > 0 || len(s.Allow) > 0 || len(s.Deny) > 0
}

// denies tells whether the command line must not reach the server.
func (s *Strict) denies(line []byte, c ftp.Command) Reason {
	if !s.active() || c.Verb == ftp.None {
		return None
	}
	if s.MaxLine > 0 && len(bytes.TrimRight(line, "\r\n")) > s.MaxLine {
		return LineTooLong
	}
	if s.ReadOnly && listed(changing, c.Name) || listed(s.Deny, c.Name) || len(s.Allow) > 0 && !listed(s.Allow, c.Name) {
		return CommandDenied
	}
	return None
}

func listed(names []string, name []byte) bool {
	for _, n := range names {
		if len(n) == len(name) && bytes.EqualFold([]byte(n), name) {
			return true
		}
	}
	return false
}
