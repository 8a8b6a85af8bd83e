package alg

import (
	"bytes"
	"cmp"
	"net/netip"

	"github.com/ftpalg/ftpalg/alg/ftp"
	"github.com/ftpalg/ftpalg/conntrack"
)

// Reply codes that change the session (RFC 959 section 4.2, RFC 2228 section 5.5, RFC 2428).
const (
	codeSystem      = 215
	codeReady       = 220
	codeGoodbye     = 221
	codePassive     = 227
	codeExtended    = 229
	codeLoggedIn    = 230
	codeAuthLogin   = 232
	codeSuperfluous = 202
	codeTLS         = 234
	codeSecurity    = 334
	codeNeedPass    = 331
	codeNeedAccount = 332
	codeClosing     = 421
)

// replies reads new data from the server and notes the edits to make in it.
func (g *Gateway) replies(s *session, data []byte) {
	l := &s.line[toClient]
	for at := 0; at < len(data); {
		piece, whole := cutLine(data[at:])
		switch {
		case l.skip:
			l.skip = !whole
		case whole && len(l.buf) == 0:
			from := s.maskedFrom(piece)
			c, _ := g.reply(s, piece, 0)
			if from >= 0 {
				c = masked(piece, from)
			}
			g.addEdit(at+c.at, c.del, c.text)
		default:
			g.replyPiece(s, l, piece, at)
			if whole {
				l.reset()
			}
		}
		at += len(piece)
		if s.opaque() {
			return
		}
	}
}

// reply judges a whole line from the server and returns the edit to make in it,
// and why a port is refused, or None. If port is not 0 then an address with this
// port has been sent already.
func (g *Gateway) reply(s *session, ln []byte, port uint16) (change, Reason) {
	code, kind := ftp.ParseReply(ln)
	inside := s.multi
	if i := s.policy.Strict.masks(cmp.Or(inside, code)); i >= 0 {
		g.Stats.Masked[i].Add(1)
	}
	if kind == ftp.NotReply && inside == 0 {
		g.fromServer(s, ln)
	}
	switch {
	case kind == ftp.NotReply, inside != 0 && (kind != ftp.Final || code != inside):
		return change{}, Unsolicited // text of a multi-line reply
	case kind == ftp.Opening:
		s.multi = code
		return change{}, Unsolicited
	}
	s.multi = 0
	g.Stats.Replies[min(code/100, len(g.Stats.Replies)-1)].Add(1)
	if s.has(conntrack.StateNotFTP) {
		return change{}, NotFTP
	}
	if code < 200 {
		return change{}, Unsolicited // preliminary: the command still waits
	}
	if code == codeClosing {
		s.over = true
		g.withdraw(s, SessionEnded)
	}
	if !s.has(conntrack.StateGreeted) {
		// The greeting answers no command.
		s.set(conntrack.StateGreeted, code == codeReady)
		return change{}, Unsolicited
	}
	if code == codePassive || code == codeExtended {
		ch, why := g.passiveReply(s, ln, code, inside != 0, port)
		if why != None && why != Unparsed {
			g.refuse(s, why, ln)
		}
		return ch, why
	}
	g.answered(s, s.asks.pop(), code)
	return change{}, Unsolicited
}

// answered keeps the session's state when a command has its final reply.
func (g *Gateway) answered(s *session, verb ftp.Verb, code int) {
	failed := code >= 400
	switch {
	case (code == codeLoggedIn || code == codeAuthLogin) && s.credentials,
		code == codeSuperfluous && (verb == ftp.Pass || verb == ftp.Acct):
		s.credentials = false
		s.set(conntrack.StateLoggedIn, true)
		return
	}
	switch verb {
	case ftp.User:
		if code == codeNeedPass || code == codeNeedAccount {
			s.set(conntrack.StateLoggedIn, false)
			g.withdraw(s, SessionEnded)
		}
	case ftp.Rein:
		if !failed {
			s.set(conntrack.StateLoggedIn|conntrack.StateEPSVAll, false)
			g.withdraw(s, SessionEnded)
		}
	case ftp.Host:
		// RFC 7151 section 3.3: as after REIN, where it is allowed at all.
		if !failed {
			s.set(conntrack.StateLoggedIn, false)
			g.withdraw(s, SessionEnded)
		}
	case ftp.Quit:
		if !failed {
			s.over = true
			g.withdraw(s, SessionEnded)
		}
	case ftp.Auth:
		if code == codeTLS || code == codeSecurity {
			g.goOpaque(s)
		}
	case askEPSVAll:
		if failed {
			s.set(conntrack.StateEPSVAll, false)
		}
	case ftp.Port, ftp.EPRT, ftp.Pasv, ftp.CPSV, ftp.EPSV, ftp.Transfer:
		if int32(s.asks.out-s.openAsk) < 0 {
			return // answers a command from before the port was opened
		}
		if failed {
			g.withdraw(s, ServerRefused)
		} else if verb == ftp.Transfer {
			g.settleOpen(s)
		}
	}
}

// passiveReply judges a 227 or 229.
func (g *Gateway) passiveReply(s *session, ln []byte, code int, multi bool, port uint16) (change, Reason) {
	asked := s.asks.popPassive()
	if !asked && !s.asks.empty() {
		s.asks.pop()
	}
	p, ok := parsePassive(ln, code)
	if !ok || len(ln) > maxLine {
		g.Stats.Unparsed.Add(1)
		return change{}, Unparsed
	}
	if !asked && !g.inherited(s, addrPort(s.serverAddr().Addr(), p.port)) {
		return change{}, Unsolicited
	}
	shown, why := g.openPassive(s, p, port)
	if why != None {
		return refusedReply(ln, p, multi), why
	}
	was := ln[p.start:p.end]
	if p.port == shown.Port() && (!p.addr.IsValid() || p.addr == shown.Addr()) {
		g.opened(s, was, was)
		return change{}, None
	}
	text := g.keep(p.append(g.scratch[:0], shown))
	g.opened(s, was, text)
	return change{at: p.start, del: p.end - p.start, text: text}, None
}

// refusedReply turns a 227 or 229 into an error of the same length.
func refusedReply(ln []byte, p passive, multi bool) change {
	at := bytes.Index(ln, []byte("22"))
	if multi || at < 0 || at >= p.start {
		return blanked(p.start, p.end) // the code must match the first line's
	}
	end := len(bytes.TrimRight(ln, "\r\n"))
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
		return passive{mode: ModePASV, addr: r.Addr.Addr(), port: r.Addr.Port(), start: r.Start, end: r.End}, ok
	}
	r, ok := ftp.ParseExtended(ln)
	p := passive{mode: ModeEPSV, port: r.Port, start: r.PortStart, end: r.PortEnd, ext: r}
	if r.HasAddr {
		p.addr, p.start = r.Addr, r.AddrStart
	}
	return p, ok
}

// append writes the address to show in the form of the reply.
func (p *passive) append(dst []byte, shown netip.AddrPort) []byte {
	if p.mode == ModePASV {
		return ftp.AppendPort(dst, shown)
	}
	if p.ext.HasAddr {
		dst = append(shown.Addr().AppendTo(dst), p.ext.Delim)
	}
	return appendNumber(dst, shown.Port())
}

// replyPiece takes one more piece of a reply line that came in several; at is
// where it stands in the data under way.
func (g *Gateway) replyPiece(s *session, l *line, piece []byte, at int) {
	had := len(l.buf)
	l.add(piece)
	if l.plan.mode == undecided && len(l.buf) >= 4 {
		g.planReply(s, l)
	}
	from := s.maskedFrom(l.buf)
	for i, b := range piece {
		pos := had + i
		switch {
		case b == '\n':
			g.endReply(s, l, at+i)
		case from >= 0 && pos >= from && b != '\r':
			g.addEdit(at+i, 1, mask[:1])
		case l.plan.mode != early || pos < l.plan.arg:
		case pos >= len(l.buf):
			// Too long for a 227. What waits goes on, made unreadable.
			g.addEdit(at+i, 1, append(g.keep(l.plan.waiting(l.buf, false)), b))
			l.plan.mode = pass
		default:
			g.earlyReply(l, pos, at+i, b)
		}
	}
}

// planReply decides what happens to the numbers of a 227 before they are all there.
func (g *Gateway) planReply(s *session, l *line) {
	code, kind := ftp.ParseReply(l.buf)
	at := bytes.Index(l.buf, []byte("227 "))
	if at < 0 && l.buf[0] == 0xff && len(l.buf) < 16 {
		return // behind the Telnet controls the code may still come
	}
	l.plan.mode = pass
	if at < 0 || code != codePassive || kind != ftp.Final || s.multi != 0 && s.multi != code ||
		!s.asks.passive() || !s.has(conntrack.StateGreeted) || s.mayOpenPassive() != None || !s.flow.NAT() {
		return
	}
	shown := s.shownDialled()
	if !shown.Is4() || shown == s.serverAddr().Addr() {
		return
	}
	l.plan.mode = early
	l.plan.arg = at + 4
	l.plan.port = s.pickPort()
	l.plan.text = ftp.AppendPort(l.plan.text[:0], addrPort(shown, l.plan.port))
	l.plan.keep = bytes.LastIndexByte(l.plan.text, ',') + 1
}

// earlyReply replaces the bytes of the six numbers as they come. What follows them
// waits for the end of the line, which the client waits for too.
func (g *Gateway) earlyReply(l *line, pos, at int, b byte) {
	p := &l.plan
	digit := b >= '0' && b <= '9'
	switch {
	case p.tail > 0:
		g.addEdit(at, 1, nil)
	case !p.run && digit:
		p.run, p.at = true, 0
		g.addEdit(at, 1, g.keep(p.next()))
	case p.run && (digit || b == ',' || (b == ' ' || b == '\t') && (l.buf[pos-1] == ',' || l.buf[pos-1] == ' ' || l.buf[pos-1] == '\t')):
		g.addEdit(at, 1, g.keep(p.next()))
	case p.run:
		if _, ok := ftp.ParsePassive(l.buf[:pos]); !ok {
			p.run = false // a number of the text; the address comes later
			return
		}
		p.tail = pos
		g.addEdit(at, 1, nil)
	}
}

// endReply judges a reply that came in pieces, at its line feed, which stands at at
// in the data under way.
func (g *Gateway) endReply(s *session, l *line, at int) {
	ln := l.buf
	if l.long {
		ln = append(ln, '\n') // the code counts all the same
	}
	g.fixed = l.plan.mode != early
	_, why := g.reply(s, ln, l.plan.port)
	g.fixed = false
	if l.plan.mode == early && l.plan.run {
		if l.plan.tail == 0 {
			l.plan.tail = len(l.buf) - 1
		}
		g.addEdit(at, 1, g.keep(l.plan.waiting(l.buf, why == None)))
	}
}

// waiting is what of a reply has not been sent yet: the end of the new text, and what
// followed the numbers in the line.
func (p *plan) waiting(buf []byte, ok bool) []byte {
	if !p.run {
		return nil
	}
	if p.tail == 0 {
		return p.rest(ok)
	}
	return append(p.rest(ok), buf[p.tail:]...)
}
