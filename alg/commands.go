package alg

import (
	"bytes"

	"github.com/ftpalg/ftpalg/alg/ftp"
	"github.com/ftpalg/ftpalg/conntrack"
)

// commands reads new data from the client and notes the edits to make in it.
func (g *Gateway) commands(s *session, data []byte) {
	l := &s.line[toServer]
	for at := 0; at < len(data); {
		piece, whole := cutLine(data[at:])
		switch {
		case l.skip:
			l.skip = !whole
		case whole && len(l.buf) == 0:
			c, _ := g.command(s, piece, 0)
			g.addEdit(at+c.at, c.del, c.text)
		default:
			g.commandPiece(s, l, piece, at)
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

// cutLine returns the first line of b with its end, or b if there is no line end.
func cutLine(b []byte) (piece []byte, whole bool) {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return b[:i+1], true
	}
	return b, false
}

// command judges a whole command line and returns the edit to make in it and why
// it is refused, or None. If port is not 0 then an address with this outside port has
// been sent already.
func (g *Gateway) command(s *session, ln []byte, port uint16) (change, Reason) {
	if s.has(conntrack.StateNotFTP) {
		return change{}, NotFTP
	}
	c := ftp.ParseCommand(ln)
	if ftp.Foreign(ln) && !(s.has(conntrack.StateLoggedIn) && garbage(c.Name)) {
		if s.policy.Strict.active() {
			return g.keepOut(s, ln, c), NotFTP
		}
		g.notFTP(s)
		return change{}, NotFTP
	}
	if c.Verb == ftp.None {
		return change{}, None
	}
	bare := !bytes.HasSuffix(ln, []byte("\r\n")) && bytes.HasSuffix(ln, []byte("\n"))
	smuggled := s.bareLF && !bare && !s.asks.empty()
	s.bareLF = bare
	g.Stats.Commands[c.Verb].Add(1)

	var ch change
	verb := c.Verb
	why := s.denies(ln, c)
	switch {
	case why != None:
		ch = blanked(c.NameStart, c.NameEnd)
		verb = ftp.Other
	case verb == ftp.Port || verb == ftp.EPRT:
		ch, why = g.portCommand(s, ln, c, smuggled, port)
		if why != None {
			verb = ftp.Other // its reply is of no interest any more
		}
	case verb == ftp.Auth && s.policy.TLS == TLSDeny:
		ch, why = blanked(c.ArgStart, c.ArgEnd), TLSDenied
		verb = ftp.Other
	default:
		ch, why = g.follow(s, ln, c)
		if verb == ftp.EPSV && ftp.EPSVAll(ln[c.ArgStart:c.ArgEnd]) {
			verb = askEPSVAll
		}
		if why != None {
			verb = ftp.Other
		}
	}
	if why != None {
		g.refuse(s, why, ln)
		if why.strict() {
			g.violated(s, why)
		}
	}
	s.asks.push(verb)
	return ch, why
}

// garbage tells whether a verb has bytes that no protocol's has. From a client that is
// logged in it is a slip, not another protocol.
func garbage(name []byte) bool {
	for _, b := range name {
		if b < ' ' || b >= 0x7f {
			return true
		}
	}
	return false
}

// follow keeps the session's state for commands that name no address.
func (g *Gateway) follow(s *session, ln []byte, c ftp.Command) (change, Reason) {
	switch c.Verb {
	case ftp.User, ftp.Pass, ftp.Acct:
		s.credentials = true
	case ftp.EPSV:
		if ftp.EPSVAll(ln[c.ArgStart:c.ArgEnd]) {
			s.set(conntrack.StateEPSVAll, true)
			return change{}, None
		}
	case ftp.Pasv, ftp.CPSV:
		if s.has(conntrack.StateEPSVAll) {
			return blanked(c.NameStart, c.NameEnd), AfterEPSVAll
		}
	}
	return change{}, None
}

// portCommand judges a PORT or EPRT.
func (g *Gateway) portCommand(s *session, ln []byte, c ftp.Command, smuggled bool, port uint16) (change, Reason) {
	arg := ln[c.ArgStart:c.ArgEnd]
	named, e, ok := parseActive(c.Verb, arg)
	if !ok || len(ln) > maxLine {
		// The server will say so itself.
		g.Stats.Unparsed.Add(1)
		return change{}, Unparsed
	}
	refused := blanked(c.ArgStart, c.ArgEnd)
	if smuggled {
		return refused, MixedLineEnds
	}
	shown, why := g.openActive(s, modeOf(c.Verb), named, port)
	if why != None {
		return refused, why
	}
	if shown == named {
		g.opened(s, arg, arg)
		return change{}, None
	}
	text := g.keep(appendActive(g.scratch[:0], c.Verb, e, shown))
	g.opened(s, arg, text)
	return change{at: c.ArgStart, del: c.ArgEnd - c.ArgStart, text: text}, None
}

// commandPiece takes one more piece of a command line that came in several; at
// is where it stands in the data under way.
func (g *Gateway) commandPiece(s *session, l *line, piece []byte, at int) {
	had := len(l.buf)
	if had == 0 && s.state&(conntrack.StateNotFTP|conntrack.StateLoggedIn) == 0 && !s.policy.Strict.active() && ftp.Foreign(piece) {
		g.notFTP(s)
	}
	l.add(piece)
	if l.done {
		return
	}
	if l.plan.mode == undecided {
		g.planCommand(s, l)
	}
	for i, b := range piece {
		if l.done {
			return
		}
		pos := had + i
		switch {
		case b == '\n':
			g.endCommand(s, l, pos, at+i)
		case l.plan.mode == undecided || l.plan.mode == pass || pos < l.plan.arg:
		case l.plan.mode == early:
			g.earlyCommand(l, at+i, b)
		case b == '\r':
		case l.plan.mode == own:
			if pos >= len(l.buf) || !s.prefixOK(l, pos+1) {
				l.plan.mode = blank
				g.addEdit(at+i, 1, filler[:1])
			}
		case l.plan.mode == blank:
			g.addEdit(at+i, 1, filler[:1])
		}
	}
}

// earlyCommand replaces one byte of an argument whose new text is known beforehand. A
// carriage return waits for the line feed, since only both end the line.
func (g *Gateway) earlyCommand(l *line, at int, b byte) {
	p := &l.plan
	switch {
	case b == '\r':
		p.returns++
		g.addEdit(at, 1, nil)
	case p.returns > 0:
		g.addEdit(at, 1, append(g.keep(p.rest(false)), '\r', b))
		p.mode = blank
	default:
		g.addEdit(at, 1, g.keep(p.next()))
	}
}

// planCommand decides what happens to the argument as soon as the verb is whole.
func (g *Gateway) planCommand(s *session, l *line) {
	c := ftp.ParseCommand(l.buf)
	if c.NameEnd >= len(l.buf) || c.NameEnd == c.NameStart || isEnd(l.buf[c.NameEnd]) {
		return // the verb may still grow, or has no argument
	}
	l.plan.arg = c.NameEnd + 1
	switch {
	case s.has(conntrack.StateNotFTP):
		l.plan.mode = pass
	case c.Verb == ftp.Auth && s.policy.TLS == TLSDeny:
		l.plan.mode = blank
	case s.policy.Strict.deniesVerb(c) != None:
		l.plan.mode = blank
	case c.Verb != ftp.Port && c.Verb != ftp.EPRT:
		l.plan.mode = pass
	case s.mayOpenActive() != None:
		l.plan.mode = blank
	default:
		g.planActive(s, l, c)
	}
}

func (g *Gateway) planActive(s *session, l *line, c ftp.Command) {
	shown := s.shownOutside()
	if shown == s.clientAddr().Addr() {
		l.plan.mode = own
		return
	}
	var e ftp.EPRTArg
	if c.Verb == ftp.EPRT {
		// The delimiter is the first byte of the argument: wait for it.
		if c.ArgStart >= c.ArgEnd {
			return
		}
		e = ftp.EPRTArg{Delim: l.buf[c.ArgStart], Family: '1'}
		if shown.Is6() {
			e.Family = '2'
		}
		l.plan.arg = c.ArgStart
	}
	l.plan.port = s.pickPort()
	l.plan.text = appendActive(l.plan.text[:0], c.Verb, e, addrPort(shown, l.plan.port))
	if c.Verb == ftp.Port {
		l.plan.keep = bytes.LastIndexByte(l.plan.text, ',') + 1
	} else {
		l.plan.keep = len(l.plan.text) - 2
	}
	l.plan.mode = early
}

// prefixOK tells whether the argument up to end may become the client's own address.
func (s *session) prefixOK(l *line, end int) bool {
	c := ftp.ParseCommand(l.buf[:end])
	arg := l.buf[c.ArgStart:c.ArgEnd]
	if len(s.policy.FXP) > 0 {
		return true
	}
	if c.Verb == ftp.EPRT {
		return ftp.EPRTPrefixOK(arg, s.clientAddr().Addr(), s.policy.MinPort)
	}
	return ftp.PortPrefixOK(arg, s.clientAddr().Addr(), s.policy.MinPort)
}

// endCommand judges a command that came in pieces, at its line feed, which stands at
// pos in the line and at in the data under way.
func (g *Gateway) endCommand(s *session, l *line, pos, at int) {
	l.done = true
	if l.long {
		g.endLongCommand(s, l, at)
		return
	}
	// What was passed on cannot be changed any more, but for the rest of the text.
	g.fixed = l.plan.mode != early
	_, why := g.command(s, l.buf[:pos+1], l.plan.port)
	g.fixed = false
	if l.plan.mode == early {
		text := g.keep(l.plan.rest(why == None))
		for range l.plan.returns {
			text = append(text, '\r')
		}
		g.addEdit(at, 1, append(text, '\n'))
	} else if why.strict() || why == NotFTP && s.policy.Strict.active() {
		g.spoil(l, at)
	}
}

// endLongCommand notes a command of which only the beginning is known. Where its
// argument was being replaced, what is missing of the text stays missing: the server refuses it.
func (g *Gateway) endLongCommand(s *session, l *line, at int) {
	c := ftp.ParseCommand(l.buf)
	if c.Verb == ftp.None || s.has(conntrack.StateNotFTP) {
		return
	}
	if s.policy.Strict.active() && ftp.Foreign(l.buf) && !(s.has(conntrack.StateLoggedIn) && garbage(c.Name)) {
		g.keepOut(s, l.buf, c)
		g.spoil(l, at)
		return
	}
	g.Stats.Commands[c.Verb].Add(1)
	if why := s.denies(append(bytes.TrimRight(l.buf, "\r"), "\r\n"...), c); why != None {
		g.refuse(s, why, l.buf)
		g.violated(s, why)
		g.spoil(l, at)
		c.Verb = ftp.Other
	} else if c.Verb == ftp.Port || c.Verb == ftp.EPRT {
		g.refuse(s, LineTooLong, l.buf[:32])
		c.Verb = ftp.Other
	}
	s.asks.push(c.Verb)
}
