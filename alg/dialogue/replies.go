package dialogue

import (
	"bytes"
	"cmp"
	"net/netip"
	"strconv"

	"github.com/ftpalg/ftpalg/alg/ftp"
	"github.com/ftpalg/ftpalg/alg/policy"
)

// Reply codes that change the session (RFC 959 section 4.2, RFC 2228 section 5.5, RFC 2428).
const (
	codeReady       = 220
	codePassive     = 227
	codeExtended    = 229
	codeLoggedIn    = 230
	codeAuthLogin   = 232
	codeTLS         = 234
	codeSecurity    = 334
	codeNeedPass    = 331
	codeNeedAccount = 332
	codeClosing     = 421
)

func isPassive(code int) bool { return code == codePassive || code == codeExtended }

// reply judges a whole line from the server and returns the edit to make in it,
// and why a port is refused, or None.
func (d *Dialogue) reply(ln []byte, x *call) (change, policy.Reason) {
	code, kind := ftp.ParseReply(ln)
	inside := int(d.multi)
	if i := d.policy.Strict.Masks(cmp.Or(inside, code)); i >= 0 {
		x.counts.Masked[i].Add(1)
	}
	if kind == ftp.NotReply && inside == 0 {
		d.fromServer(ln, x)
	}
	switch {
	case kind == ftp.NotReply, inside != 0 && (kind != ftp.Final || code != inside):
		return change{}, policy.None // text of a multi-line reply
	case kind == ftp.Opening:
		d.multi = uint16(code)
		return change{}, policy.None
	}
	d.multi = 0
	x.counts.Replies[min(code/100, len(x.counts.Replies)-1)].Add(1)
	if d.has(NotFTP) {
		return change{}, policy.NotFTP
	}
	if code < 200 { // preliminary: the command still waits
		x.gate.Tell(Notice{What: Reply, Verb: d.asks.next(), Code: code, Line: ln})
		return change{}, policy.None
	}
	return d.final(ln, code, inside != 0, x)
}

// final judges a reply that ends a command, or the greeting.
func (d *Dialogue) final(ln []byte, code int, multi bool, x *call) (change, policy.Reason) {
	if code == codeClosing {
		d.end(x)
	}
	if isPassive(code) {
		ch, why := d.passiveReply(ln, code, multi, x)
		if why != policy.None && why != policy.Unparsed {
			d.refuse(why, ln, x)
		}
		return ch, why
	}
	if d.isGreeting(code) {
		// It answers no command.
		d.welcomed = true
		d.set(Greeted, code < 300)
		if code == codeLoggedIn {
			d.set(LoggedIn, true)
		}
		return change{}, policy.None
	}
	d.welcomed = true // the greeting was before, seen or not
	verb := d.asks.pop()
	x.gate.Tell(Notice{What: Reply, Verb: verb, Code: code, Line: ln})
	d.answer(verb, code, x)
	return change{}, policy.None
}

// isGreeting tells whether a final reply is the server's first. Of a session that was picked
// up in the middle only 220 can be, or what comes before any command.
func (d *Dialogue) isGreeting(code int) bool {
	return !d.welcomed && (!d.running || code == codeReady || code < 300 && d.asks.empty())
}

// next returns the verb of the command whose reply is due.
func (a *asks) next() ftp.Verb {
	runs := a.waits()
	if len(runs) == 0 {
		return ftp.None
	}
	return runs[0].verb
}

// answer keeps the session's state when a command has its final reply.
func (d *Dialogue) answer(verb ftp.Verb, code int, x *call) {
	failed := code >= 400
	switch verb {
	case ftp.User, ftp.Pass, ftp.Acct:
		d.loginAnswered(verb, code, x)
	case ftp.None, ftp.Other:
		// Out of step, or picked up in the middle, but the server says so.
		switch {
		case (code == codeLoggedIn || code == codeAuthLogin) && d.has(LoggingIn) &&
			(d.running || verb == ftp.None):
			d.loggedIn()
		case code == codeTLS:
			d.goOpaque(x)
		}
	case ftp.Rein:
		if !failed {
			d.set(LoggedIn|EPSVAll|LoggingIn, false)
			x.gate.Shut(policy.SessionEnded)
		}
	case ftp.Host:
		// RFC 7151 section 3.3: as after REIN, where it is allowed at all.
		if !failed {
			d.set(LoggedIn, false)
			x.gate.Shut(policy.SessionEnded)
		}
	case ftp.Quit:
		if !failed {
			d.end(x)
		}
	case ftp.Auth:
		if code == codeTLS || code == codeSecurity {
			d.goOpaque(x)
		}
	case askEPSVAll:
		if failed {
			d.set(EPSVAll, false)
		}
	case ftp.Port, ftp.EPRT, ftp.Pasv, ftp.CPSV, ftp.EPSV, ftp.Transfer:
		d.transferAnswered(verb, failed, x)
	}
}

// transferAnswered shuts the door that a command asked for or used, when that has its final reply.
func (d *Dialogue) transferAnswered(verb ftp.Verb, failed bool, x *call) {
	switch {
	case int32(d.asks.out-d.doorAsk) < 0: // answers a command from before the port was opened
	case failed:
		x.gate.Shut(policy.ServerRefused)
	case verb == ftp.Transfer:
		x.gate.Shut(policy.Used)
	}
}

// loginAnswered takes the outcome of USER, PASS or ACCT. Clients go by the first digit (RFC 1123
// section 4.1.2.11), so any 2xx logs in.
func (d *Dialogue) loginAnswered(verb ftp.Verb, code int, x *call) {
	switch {
	case code < 300:
		d.loggedIn()
	case code >= 400:
		x.gate.Tell(Notice{What: LoginFailed, Verb: verb, Code: code})
		if !d.asks.has(ftp.Pass) && !d.asks.has(ftp.Acct) {
			d.set(LoggingIn, false)
		}
	case verb == ftp.User && (code == codeNeedPass || code == codeNeedAccount):
		d.set(LoggedIn, false)
		x.gate.Shut(policy.SessionEnded)
	}
}

func (d *Dialogue) loggedIn() {
	d.set(LoggedIn, true)
	d.set(LoggingIn, false)
}

// passiveReply judges a 227 or 229.
func (d *Dialogue) passiveReply(ln []byte, code int, multi bool, x *call) (change, policy.Reason) {
	asked := d.asks.popPassive()
	verb := ftp.Pasv
	if !asked {
		verb = d.asks.pop()
	}
	x.gate.Tell(Notice{What: Reply, Verb: verb, Code: code, Line: ln})
	p, ok := parsePassive(ln, code)
	if !ok || len(ln) > maxLine {
		x.counts.Unparsed.Add(1)
		return change{}, policy.Unparsed
	}
	shown, why := d.openPassive(&p, asked, x.gate)
	switch {
	case why == policy.Unsolicited:
		return change{}, why // its command may have gone by unseen, and the door be an earlier program's
	case why != policy.None:
		return refusedReply(ln, &p, multi), why
	}
	was := ln[p.start:p.end]
	if p.port == shown.Port() && (!p.addr.IsValid() || p.addr == shown.Addr()) {
		x.gate.Tell(Notice{What: Opened, Mode: p.mode, Was: was, Is: was})
		return change{}, policy.None
	}
	text := x.draft.keep(p.append(x.draft.scratch[:0], shown))
	x.gate.Tell(Notice{What: Opened, Mode: p.mode, Was: was, Is: text})
	return change{at: p.start, del: p.end - p.start, text: text}, policy.None
}

// refusedReply turns a 227 or 229 into an error of the same length.
func refusedReply(ln []byte, p *passive, multi bool) change {
	at, end := bytes.Index(ln, []byte("22")), len(bytes.TrimRight(ln, "\r\n"))
	if multi || at < 0 || at >= p.start {
		return blanked(p.start, end) // the code must match the first line's
	}
	const notice = "425 Data connection refused by the gateway."
	text := make([]byte, end-at)
	for i := copy(text, notice); i < len(text); i++ {
		text[i] = ' '
	}
	return change{at: at, del: len(text), text: text}
}

// passive is what a 227 or 229 offers, and where it stands in the line.
type passive struct {
	mode       Mode
	addr       netip.Addr // not valid: the reply names none
	port       uint16
	start, end int // what of the line is replaced
	ext        ftp.Extended
}

func parsePassive(ln []byte, code int) (passive, bool) {
	if code == codePassive {
		r, ok := ftp.ParsePassive(ln)
		return passive{mode: PASV, addr: r.Addr.Addr(), port: r.Addr.Port(), start: r.Start, end: r.End}, ok
	}
	r, ok := ftp.ParseExtended(ln)
	p := passive{mode: EPSV, port: r.Port, start: r.PortStart, end: r.PortEnd, ext: r}
	if r.HasAddr {
		p.addr, p.start = r.Addr, r.AddrStart
	}
	return p, ok
}

// append writes the address to show in the form of the reply.
func (p *passive) append(dst []byte, shown netip.AddrPort) []byte {
	if p.mode == PASV {
		return ftp.AppendPort(dst, shown)
	}
	if p.ext.HasAddr {
		dst = append(shown.Addr().AppendTo(dst), p.ext.Delim)
	}
	return strconv.AppendUint(dst, uint64(shown.Port()), 10)
}
