package alg

import (
	"bytes"
	slashed "path"
	"strings"

	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/ftp"
)

// whereabouts is the working directory of a session as far as replies tell it. It counts only what
// is sure: a command that does not wait for the reply of the one before makes it unknown.
type whereabouts struct {
	dir    string // empty: not known
	next   string // where the command that waits for its reply leads; empty: nobody knows
	awaits awaited
}

// awaited is the command whose reply tells the directory.
type awaited uint8

const (
	noReply    awaited = iota
	aMove              // CWD, CDUP
	aDirectory         // PWD
)

// command takes note of a command.
func (w *whereabouts) command(n *dialogue.Notice) {
	if w.awaits == aMove {
		w.dir = ""
	}
	w.awaits = noReply
	if n.Verb == ftp.User || n.Verb == ftp.Rein || n.Verb == ftp.Host {
		w.dir = ""
	}
	if n.Verb != ftp.Other {
		return
	}
	switch name := n.Name; {
	case isName(name, "CWD"), isName(name, "XCWD"):
		w.awaits, w.next = aMove, w.from(string(n.Arg))
	case isName(name, "CDUP"), isName(name, "XCUP"):
		w.awaits, w.next = aMove, w.from("..")
	case isName(name, "PWD"), isName(name, "XPWD"):
		w.awaits = aDirectory
	default:
		return
	}
	if !n.Alone { // which reply is whose is not sure
		if w.awaits == aMove {
			w.dir = ""
		}
		w.awaits = noReply
	}
}

// from is where a path leads.
func (w *whereabouts) from(p string) string {
	switch {
	case p == "" || p[0] == '~' || len(w.dir)+len(p) >= maxKept || strings.ContainsRune(p, '\\'):
		return ""
	case p[0] == '/':
		return slashed.Clean(p)
	case w.dir == "" || w.dir[0] != '/':
		return ""
	}
	return slashed.Join(w.dir, p)
}

// reply takes note of a final reply.
func (w *whereabouts) reply(n *dialogue.Notice) {
	switch {
	case n.Verb != ftp.Other:
		return
	case w.awaits == aMove && n.Code < 300:
		w.dir = w.next
	case w.awaits == aDirectory && n.Code == 257:
		w.dir = quoted(n.Line)
	}
	w.awaits = noReply
}

// quoted is the path in a 257, between quotation marks; one in the path is doubled (RFC 959 appendix II).
func quoted(ln []byte) string {
	_, rest, ok := bytes.Cut(ln, []byte{'"'})
	var dir []byte
	for ok && len(dir) < maxKept {
		at := bytes.IndexByte(rest, '"')
		if at < 0 {
			break
		}
		dir = append(dir, rest[:at]...)
		if rest = rest[at+1:]; len(rest) == 0 || rest[0] != '"' {
			return cut(dir)
		}
		dir, rest = append(dir, '"'), rest[1:]
	}
	return ""
}

func isName(name []byte, is string) bool { return bytes.EqualFold(name, []byte(is)) }
