package dialogue

import (
	"bytes"
	"cmp"

	"github.com/ftpalg/ftpalg/alg/ftp"
	"github.com/ftpalg/ftpalg/alg/policy"
)

// denies tells why the strict policy keeps the command line from the server, or None.
func (d *Dialogue) denies(ln []byte, c *ftp.Command) policy.Reason {
	r := &d.policy.Strict
	if !r.Active() {
		return policy.None
	}
	if why := r.Verb(c.Name); why != policy.None {
		return why
	}
	arg := ln[c.ArgStart:c.ArgEnd]
	switch {
	case r.MaxLine > 0 && len(bytes.TrimRight(ln, "\r\n")) > r.MaxLine:
		return policy.OverMaxLine
	case r.Direction && isPassiveReply(ln[c.NameStart:]):
		return policy.WrongDirection
	case r.NeedCRLF && bytes.IndexByte(ln, '\r') != len(ln)-len("\r\n"):
		return policy.NoCRLF
	case r.WaitForReply && d.replyAwaited() && !d.interrupts(c.Name):
		return policy.ReplyAwaited
	case r.MaxTrailing > 0 && behindPort(c.Verb, arg) > r.MaxTrailing:
		return policy.TrailingText
	case c.Verb == ftp.User && r.User(arg):
		return policy.UserDenied
	case r.File(c.Name, arg):
		return policy.FileDenied
	}
	return policy.None
}

// waive says that no reply to what came needs to be waited for, and that one of them may not come.
func (d *Dialogue) waive() { d.waived, d.lag = d.asks.in, 1 }

// replyAwaited tells whether the client should wait for a reply that was not waived, as by ABOR. Some
// servers answer the transfer and the ABOR with one reply, so that one seems to be missing until all
// are there.
func (d *Dialogue) replyAwaited() bool {
	if d.asks.empty() {
		d.lag = 0
		return false
	}
	answered := d.asks.out
	if int32(d.waived-answered) > 0 {
		answered = d.waived
	}
	return d.asks.in-answered > d.lag
}

// interrupts tells whether the command may be sent while another waits for its reply (RFC 959 section
// 4.1.3): ABOR always, to whatever is under way; QUIT and STAT during a transfer.
func (d *Dialogue) interrupts(name []byte) bool {
	return isAbort(name) || d.asks.has(ftp.Transfer) && policy.Listed([]string{"STAT", "QUIT"}, name)
}

func isAbort(name []byte) bool { return policy.Listed([]string{"ABOR"}, name) }

// isPassiveReply tells whether a line is what only servers send.
func isPassiveReply(ln []byte) bool {
	code, kind := ftp.ParseReply(ln)
	return kind != ftp.NotReply && isPassive(code)
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

// keepOut refuses a line of another protocol. Under the strict policy the session is still
// read: else such a line would be the way around every rule.
func (d *Dialogue) keepOut(ln []byte, c *ftp.Command, x *call) change {
	d.end(x)
	d.refuse(policy.NotFTP, ln, x)
	x.draft.Reset = x.draft.Reset || d.policy.Strict.Reset
	d.asks.push(ftp.Other)
	return blanked(c.NameStart, c.NameEnd)
}

// violated does what a broken rule calls for besides the refusal.
func (d *Dialogue) violated(why policy.Reason, x *call) {
	if !why.Strict() {
		return
	}
	if why == policy.WrongDirection || d.policy.Strict.Reset {
		d.end(x)
		d.set(LoggedIn, false) // outlives this process, as over does not
	}
	x.draft.Reset = x.draft.Reset || d.policy.Strict.Reset
}

// fromServer looks at a line from the server that is neither a reply nor part of one.
func (d *Dialogue) fromServer(ln []byte, x *call) {
	if !d.policy.Strict.Direction || d.has(NotFTP) {
		return
	}
	if v := ftp.ParseCommand(ln).Verb; v == ftp.Port || v == ftp.EPRT {
		d.refuse(policy.WrongDirection, ln, x)
		d.violated(policy.WrongDirection, x)
	}
}

// maskedFrom returns from where on the line from the server, or what is known of it, is to
// be made unreadable; -1 if it is not. Of the lines of a multi-line reply only the codes stay.
func (d *Dialogue) maskedFrom(ln []byte) int {
	r := &d.policy.Strict
	if !r.MaskBanner && !r.MaskSYST {
		return -1
	}
	code, kind := ftp.ParseReply(ln)
	of := cmp.Or(int(d.multi), code)
	if r.Masks(of) < 0 {
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

// maskLine is the edit that makes a line unreadable from there on.
func maskLine(ln []byte, from int) change {
	n := len(bytes.TrimRight(ln, "\r\n")) - from
	switch {
	case n <= 0:
		return change{}
	case n > len(mask):
		return change{at: from, del: n, text: bytes.Repeat(mask[:1], n)}
	}
	return change{at: from, del: n, text: mask[:n]}
}
