package dialogue

import (
	"bytes"
	"net/netip"

	"github.com/ftpalg/ftpalg/alg/ftp"
	"github.com/ftpalg/ftpalg/alg/policy"
)

// command judges a whole command line and returns the edit to make in it and why
// it is refused, or None.
func (d *Dialogue) command(ln []byte, x *call) (change, policy.Reason) {
	if d.has(NotFTP) {
		return change{}, policy.NotFTP
	}
	c := ftp.ParseCommand(ln)
	if d.foreign(ln, &c) {
		if d.policy.Strict.Active() {
			return d.keepOut(ln, &c, x), policy.NotFTP
		}
		d.notFTP(x)
		return change{}, policy.NotFTP
	}
	if c.Verb == ftp.None {
		return change{}, policy.None
	}
	d.answered = d.answered || d.has(Greeted)
	bare := !bytes.HasSuffix(ln, []byte("\r\n")) && bytes.HasSuffix(ln, []byte("\n"))
	smuggled := d.bareLF && !bare && !d.asks.empty()
	d.bareLF = bare
	x.counts.Commands[c.Verb].Add(1)

	verb := c.Verb
	ch, why := d.judge(ln, &c, smuggled, x)
	switch {
	case why != policy.None:
		verb = ftp.Other // its reply is of no interest any more
		d.refuse(why, ln, x)
		d.violated(why, x)
	case verb == ftp.EPSV && ftp.EPSVAll(ln[c.ArgStart:c.ArgEnd]):
		verb = askEPSVAll
	}
	d.asks.push(verb)
	if isAbort(c.Name) {
		d.waive() // what follows need not wait for the transfer's reply
	}
	return ch, why
}

// foreign tells whether a line is of another protocol.
func (d *Dialogue) foreign(ln []byte, c *ftp.Command) bool {
	return c.Foreign(ln) && !(d.has(LoggedIn) && policy.Garbage(c.Name))
}

// judge decides about a command.
func (d *Dialogue) judge(ln []byte, c *ftp.Command, smuggled bool, x *call) (change, policy.Reason) {
	name := blanked(c.NameStart, c.NameEnd)
	told := Notice{
		What: Command, Verb: c.Verb, Name: c.Name, Arg: ln[c.ArgStart:c.ArgEnd], Line: ln,
		Alone: d.asks.empty(),
	}
	if why := x.gate.Tell(told); why != policy.None {
		return name, why
	}
	if why := d.denies(ln, c); why != policy.None {
		return name, why
	}
	if d.asks.full(c.Verb) {
		return name, policy.PipelineLimit
	}
	switch c.Verb {
	case ftp.Port, ftp.EPRT:
		return d.portCommand(ln, c, smuggled, x)
	case ftp.Auth:
		if d.policy.TLS == policy.TLSDeny {
			return blanked(c.ArgStart, c.ArgEnd), policy.TLSDenied
		}
	case ftp.User, ftp.Pass, ftp.Acct:
		d.set(LoggingIn, true)
	case ftp.EPSV:
		if ftp.EPSVAll(ln[c.ArgStart:c.ArgEnd]) {
			d.set(EPSVAll, true)
		}
	case ftp.Pasv, ftp.CPSV:
		if d.has(EPSVAll) {
			return name, policy.AfterEPSVAll
		}
	}
	return change{}, policy.None
}

// portCommand judges a PORT or EPRT.
func (d *Dialogue) portCommand(ln []byte, c *ftp.Command, smuggled bool, x *call) (change, policy.Reason) {
	arg := ln[c.ArgStart:c.ArgEnd]
	a, ok := parseActive(c.Verb, arg)
	if !ok || len(ln) > maxLine {
		// The server will say so itself.
		x.counts.Unparsed.Add(1)
		return change{}, policy.Unparsed
	}
	refused := blanked(c.ArgStart, c.ArgEnd)
	if smuggled {
		return refused, policy.MixedLineEnds
	}
	shown, why := d.openActive(a, x.gate)
	if why != policy.None {
		return refused, why
	}
	if shown == a.addr {
		x.gate.Tell(Notice{What: Opened, Mode: a.mode, Was: arg, Is: arg})
		return change{}, policy.None
	}
	text := x.draft.keep(a.append(x.draft.scratch[:0], shown))
	x.gate.Tell(Notice{What: Opened, Mode: a.mode, Was: arg, Is: text})
	return change{at: c.ArgStart, del: c.ArgEnd - c.ArgStart, text: text}, policy.None
}

// active is the address in a PORT or EPRT.
type active struct {
	mode Mode
	addr netip.AddrPort
	form ftp.EPRTArg
}

func parseActive(v ftp.Verb, arg []byte) (active, bool) {
	if v == ftp.Port {
		a, ok := ftp.ParsePort(arg)
		return active{mode: PORT, addr: a}, ok
	}
	e, ok := ftp.ParseEPRT(arg)
	return active{EPRT, e.Addr, e}, ok
}

// append writes the address to show in the form of the command.
func (a *active) append(dst []byte, shown netip.AddrPort) []byte {
	if a.mode == PORT {
		return ftp.AppendPort(dst, shown)
	}
	return ftp.AppendEPRT(dst, a.form.Delim, a.form.Family, shown)
}
