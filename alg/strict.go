package alg

import (
	"bytes"
	"cmp"
	"regexp"

	"github.com/ftpalg/ftpalg/alg/ftp"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// Strict holds the rules beyond the standard policy. Each is off in its zero value.
//
// A command that breaks one loses its verb: the server answers 500 and nothing hangs. Of
// a command that comes in several segments the verb has been sent already, for nothing is
// held back. It gets a tail that is too long for any name, so that the server refuses it
// too; only a server that ignores arguments that it does not expect may obey.
// Nothing can be seen inside TLS.
type Strict struct {
	// Enabled switches on what Cisco ASA's strict inspection checks: WaitForReply, NeedCRLF,
	// Direction, MaskSYST, and, where they are 0, MaxLine and MaxTrailing.
	Enabled bool

	Allow        []string         // the only commands allowed, in upper case; empty: all
	Deny         []string         // commands refused, in upper case
	DenyUsers    []*regexp.Regexp // names refused in USER
	DenyFiles    []*regexp.Regexp // names refused in commands that take a path, as they are sent
	ReadOnly     bool             // refuse every command that changes files
	MaxLine      int              // longest command line in bytes, without its end; 0: any. In segments, 510 at most.
	MaxTrailing  int              // longest text behind the port of PORT and EPRT in bytes; 0: any
	WaitForReply bool             // refuse a command while another waits for its reply
	NeedCRLF     bool             // refuse a line with a line feed or carriage return alone
	Direction    bool             // nothing opens after a PORT from the server or a 227 from the client
	MaskBanner   bool             // make the text of 220 unreadable
	MaskSYST     bool             // make the text of 215 unreadable
	Reset        bool             // a violation ends the session, see asReset
}

// What ASA allows, and what the RFCs' 512 bytes leave without the line end.
const (
	strictLine     = maxLine - 2
	strictTrailing = 8
)

// whole returns the rules with those that Enabled stands for.
func (r Strict) whole() Strict {
	if !r.Enabled {
		return r
	}
	r.WaitForReply, r.NeedCRLF, r.Direction, r.MaskSYST = true, true, true, true
	if r.MaxLine == 0 {
		r.MaxLine = strictLine
	}
	if r.MaxTrailing == 0 {
		r.MaxTrailing = strictTrailing
	}
	return r
}

// changing are the commands that change what is on the server (RFC 959, 3659 and common use).
var changing = []string{"STOR", "STOU", "APPE", "DELE", "RMD", "XRMD", "MKD", "XMKD", "RNFR", "RNTO", "SITE", "MFMT", "MFCT", "MFF", "ALLO"}

// naming are the commands whose argument is or ends in a path.
var naming = []string{
	"RETR", "STOR", "STOU", "APPE", "DELE", "RNFR", "RNTO", "MKD", "XMKD", "RMD", "XRMD", "CWD", "XCWD",
	"LIST", "NLST", "MLSD", "MLST", "STAT", "SIZE", "MDTM", "MFMT", "MFCT", "MFF", "HASH", "XCRC", "XMD5", "XSHA1", "XSHA256", "XSHA512",
}

// active tells whether any rule for commands is on.
func (r *Strict) active() bool {
	return r.ReadOnly || r.WaitForReply || r.NeedCRLF || r.Direction || r.MaxLine > 0 || r.MaxTrailing > 0 ||
		len(r.Allow) > 0 || len(r.Deny) > 0 || len(r.DenyFiles) > 0 || len(r.DenyUsers) > 0
}

// deniesVerb tells whether a command is refused whatever its argument.
func (r *Strict) deniesVerb(c ftp.Command) Reason {
	switch {
	case !r.ReadOnly && len(r.Allow) == 0 && len(r.Deny) == 0:
		return None
	case r.ReadOnly && listed(changing, c.Name):
		return ReadOnly
	case listed(r.Deny, c.Name), len(r.Allow) > 0 && !listed(r.Allow, c.Name),
		garbage(c.Name): // the server may skip a Telnet control within
		return CommandDenied
	}
	return None
}

// denies tells whether the command line must not reach the server.
func (s *session) denies(ln []byte, c ftp.Command) Reason {
	r := &s.policy.Strict
	if !r.active() {
		return None
	}
	if why := r.deniesVerb(c); why != None {
		return why
	}
	arg := ln[c.ArgStart:c.ArgEnd]
	switch {
	case r.MaxLine > 0 && len(bytes.TrimRight(ln, "\r\n")) > r.MaxLine:
		return OverMaxLine
	case r.Direction && isPassiveReply(ln[c.NameStart:]):
		return WrongDirection
	case r.NeedCRLF && bytes.IndexByte(ln, '\r') != len(ln)-len("\r\n"):
		return NoCRLF
	case r.WaitForReply && !s.asks.empty() && !interrupts(c.Name, &s.asks):
		return ReplyAwaited
	case r.MaxTrailing > 0 && behindPort(c.Verb, arg) > r.MaxTrailing:
		return TrailingText
	case c.Verb == ftp.User && denied(r.DenyUsers, arg):
		return UserDenied
	case len(r.DenyFiles) > 0 && listed(naming, c.Name) && denied(r.DenyFiles, arg):
		return FileDenied
	}
	return None
}

// interrupts tells whether the command may be sent during a transfer (RFC 959 section 4.1.3).
func interrupts(name []byte, a *asks) bool {
	return a.verb[a.head] == ftp.Transfer && listed([]string{"ABOR", "STAT", "QUIT"}, name)
}

// isPassiveReply tells whether a line is what only servers send.
func isPassiveReply(ln []byte) bool {
	code, kind := ftp.ParseReply(ln)
	return kind != ftp.NotReply && (code == codePassive || code == codeExtended)
}

// denied tells whether a name fits one of the patterns. What a server makes of a control
// byte in a name is unknown, so a name with one fits all.
func denied(patterns []*regexp.Regexp, name []byte) bool {
	if len(patterns) == 0 {
		return false
	}
	for i, b := range name {
		if b < ' ' && b != '\t' || b == 0xff && i+1 < len(name) && name[i+1] >= 0xf0 && name[i+1] < 0xff {
			return true
		}
	}
	for _, p := range patterns {
		if p.Match(name) {
			return true
		}
	}
	return false
}

// behindPort returns the length of what follows the port in the argument of PORT or EPRT.
func behindPort(v ftp.Verb, arg []byte) int {
	at, fields := 0, 0
	switch {
	case v == ftp.EPRT:
		for ; at < len(arg) && fields < 4; at++ {
			if arg[at] == arg[0] {
				fields++
			}
		}
		fields += 2
	case v == ftp.Port:
		for ; at < len(arg) && bytes.IndexByte([]byte("0123456789, \t"), arg[at]) >= 0; at++ {
			digit := isDigit(arg[at])
			if digit && (at == 0 || !isDigit(arg[at-1])) {
				fields++
			} else if fields == 6 && !digit {
				break
			}
		}
	}
	if fields != 6 {
		return 0 // the server will say so itself
	}
	return len(arg) - at
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

func listed(names []string, name []byte) bool {
	for _, n := range names {
		if len(n) == len(name) && bytes.EqualFold([]byte(n), name) {
			return true
		}
	}
	return false
}

// keepOut refuses a line of another protocol. Under the strict policy the session is still
// read: else such a line would be the way around every rule.
func (g *Gateway) keepOut(s *session, ln []byte, c ftp.Command) change {
	g.end(s)
	g.refuse(s, NotFTP, ln)
	g.reset = s.policy.Strict.Reset
	s.asks.push(ftp.Other)
	return blanked(c.NameStart, c.NameEnd)
}

// violated does what a broken rule calls for besides the refusal.
func (g *Gateway) violated(s *session, why Reason) {
	if why == WrongDirection || s.policy.Strict.Reset {
		g.end(s)
		s.set(conntrack.StateLoggedIn, false) // outlives this process, as over does not
	}
	g.reset = s.policy.Strict.Reset
}

// spoil is put in front of the end of a command in pieces that is refused: a name is nowhere longer than
// 255 bytes, and no verb is. at is where its line feed stands in the data under way.
func (g *Gateway) spoil(l *line, at int) {
	end := l.buf[len(l.buf)-1:]
	if at > 0 && bytes.HasSuffix(l.buf, []byte("\r\n")) {
		at-- // some servers end a line at the carriage return
		end = l.buf[len(l.buf)-2:]
	}
	if l.long {
		end = []byte("\n")
	}
	g.addEdit(at, len(end), append(g.keep(filler[:256]), end...))
}

// fromServer looks at a line from the server that is neither a reply nor part of one.
func (g *Gateway) fromServer(s *session, ln []byte) {
	if !s.policy.Strict.Direction || s.has(conntrack.StateNotFTP) {
		return
	}
	if v := ftp.ParseCommand(ln).Verb; v == ftp.Port || v == ftp.EPRT {
		g.refuse(s, WrongDirection, ln)
		g.violated(s, WrongDirection)
	}
}

// MaskedReplies are the labels of the replies that can be made unreadable.
var MaskedReplies = [...]string{"banner", "syst"}

// masks tells which of MaskedReplies a reply is; -1 if it is to stay as it is.
func (r *Strict) masks(code int) int {
	switch {
	case code == codeReady && r.MaskBanner:
		return 0 // the greeting, and the answers to REIN and HOST
	case code == codeSystem && r.MaskSYST:
		return 1
	}
	return -1
}

// maskedFrom returns from where on the line from the server, or what is known of it, is to
// be made unreadable; -1 if it is not. Of the lines of a multi-line reply only the codes stay.
func (s *session) maskedFrom(ln []byte) int {
	r := &s.policy.Strict
	if !r.MaskBanner && !r.MaskSYST {
		return -1
	}
	code, kind := ftp.ParseReply(ln)
	of := cmp.Or(s.multi, code)
	if r.masks(of) < 0 {
		return -1
	}
	digits := [...]byte{byte('0' + of/100), byte('0' + of/10%10), byte('0' + of%10)}
	if kind != ftp.NotReply && code == of {
		return bytes.Index(ln, digits[:]) + len("220 ")
	}
	n := 0
	for n < len(digits) && n < len(ln) && ln[n] == digits[n] {
		n++ // it may still become the last line
	}
	return n
}

// mask is what replaces text from the server.
var mask = bytes.Repeat([]byte{'X'}, maxLine)

// masked is the edit that makes a line unreadable from there on.
func masked(ln []byte, from int) change {
	n := len(bytes.TrimRight(ln, "\r\n")) - from
	switch {
	case n <= 0:
		return change{}
	case n > len(mask):
		return change{at: from, del: n, text: bytes.Repeat(mask[:1], n)}
	}
	return change{at: from, del: n, text: mask[:n]}
}

// asReset makes a reset of the packet p, or of what was to leave in its place, so that its
// receiver closes and the violation never arrives. There is one verdict for one packet, so
// the sender is not told: it repeats the packet, which goes on with the line refused
// as ever, and the receiver, which knows the connection no more, answers with a reset of its own.
// The same happens if the reset is lost or the receiver is behind: then it sees the refused line.
func (g *Gateway) asReset(p *rewrite.Packet, out []byte, changed bool) []byte {
	q := *p
	if changed {
		q.Parse(out)
	}
	out, rst := q.AppendChanged(out[:0], q.Seq(), q.Ack(), rewrite.RST|rewrite.ACK, nil)
	rst.Finish()
	g.out = out
	return out
}
