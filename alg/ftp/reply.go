package ftp

import "net/netip"

// ReplyKind is what a line from the server is to the dialogue.
type ReplyKind uint8

const (
	NotReply ReplyKind = iota // no code: text inside a multi-line reply, or not FTP
	Final                     // "ddd text" or "ddd": a whole reply, or the last line of one
	Opening                   // "ddd-text": the first line of several
)

var kindNames = [...]string{"not a reply", "final", "opening"}

// String returns the kind in words.
func (k ReplyKind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "invalid"
}

// ParseReply returns the code of a reply line, 100..699, and its kind (RFC 959 section
// 4.2; 6xx are the protected replies of RFC 2228). Only Telnet controls may stand before
// the code: a line of text inside a multi-line reply is often indented just to show
// that it is none. The code is 0 if the line is no reply.
func ParseReply(line []byte) (code int, kind ReplyKind) {
	at := skipTelnet(line)
	code, n := number(line[at:])
	if n != 3 || code < 100 || code > 699 {
		return 0, NotReply
	}
	at += n
	switch {
	case at == len(line) || line[at] == ' ' || line[at] == '\r' || line[at] == '\n':
		return code, Final
	case line[at] == '-':
		return code, Opening
	}
	return 0, NotReply
}

func skipTelnet(b []byte) int {
	at := 0
	for at < len(b) {
		n := telnet(b[at:])
		if n == 0 {
			break
		}
		at += n
	}
	return at
}

// replyText returns where the text of a final reply with the code begins and ends.
func replyText(line []byte, want int) (at, end int, ok bool) {
	code, kind := ParseReply(line)
	at, end = skipTelnet(line)+3, trimEnd(line)
	return at, end, code == want && kind == Final && at <= end
}

// Passive is the address in a 227 reply.
type Passive struct {
	Addr       netip.AddrPort // the port may be 0
	Start, End int            // where the six numbers stand, from first to last digit
}

// ParsePassive finds the six numbers in a final 227 reply. RFC 959 section 4.1.2 gives
// them no place in the text, so they may stand anywhere in it, with or without parentheses
// (RFC 1123 section 4.1.2.6), and with blanks behind the commas. Of several sextuples
// the first counts, as it does for clients.
//
// Shorter rows of numbers are text. A longer one, or a number above 255 in the six,
// makes the whole reply void: clients would take different parts of it.
func ParsePassive(line []byte) (Passive, bool) {
	at, end, ok := replyText(line, 227)
	for ok && at < end {
		if !isDigit(line[at]) {
			at++
			continue
		}
		var six [6]byte
		start, stop, count, fits := at, at, 0, true
		for at < end && isDigit(line[at]) {
			v, n := number(line[at:end])
			fits = fits && v <= 255
			if count < len(six) {
				six[count] = byte(v)
			}
			count++
			at += n
			stop = at
			if at == end || line[at] != ',' {
				break
			}
			at = skipBlanks(line[:end], at+1)
		}
		if count < len(six) {
			continue
		}
		if count > len(six) || !fits {
			break
		}
		return Passive{Addr: fromSix(six), Start: start, End: stop}, true
	}
	return Passive{}, false
}

// Extended is the port in a 229 reply.
type Extended struct {
	Delim              byte
	Port               uint16 // 1..65535
	PortStart, PortEnd int    // where its digits stand

	// The rest is set only if the reply names an address, which RFC 2428 section 3
	// does not want.
	HasAddr            bool
	Family             byte       // '1' or '2'
	Addr               netip.Addr // an IPv4 address in IPv6 form is unmapped
	AddrStart, AddrEnd int
}

// ParseExtended finds the port in a final 229 reply: the last "|||port|" or
// "|family|address|port|" in its text, with or without parentheses, and with any
// delimiter that is visible ASCII but cannot be part of a field. There is no answer
// if the port is not 1..65535.
//
// All four delimiters are needed: a reply with one less in front, as BulletProof's
// "(||50123|)", or without the last is refused by most clients, so nobody would use the port.
func ParseExtended(line []byte) (Extended, bool) {
	at, end, ok := replyText(line, 229)
	if !ok {
		return Extended{}, false
	}
	for i := end - 1; i >= at; i-- {
		e, ok := extendedAt(line[:end], i)
		if ok && e.Port == 0 {
			break
		}
		if ok {
			return e, true
		}
	}
	return Extended{}, false
}

// extendedAt reads the group of fields that begins at i. A port out of range is
// returned as 0.
func extendedAt(line []byte, i int) (Extended, bool) {
	b := line[i:]
	if len(b) < 3 || !separates(b[0], 0) || b[2] != b[0] {
		return Extended{}, false
	}
	if b[1] == b[0] {
		v, n := number(b[3:])
		if n == 0 || 3+n == len(b) || b[3+n] != b[0] {
			return Extended{}, false
		}
		if v > 65535 {
			v = 0
		}
		return Extended{Delim: b[0], Port: uint16(v), PortStart: i + 3, PortEnd: i + 3 + n}, true
	}
	f, ok := cutAddress(b)
	return Extended{
		Delim: b[0], Port: f.port, PortStart: i + f.addrEnd + 1, PortEnd: i + f.portEnd,
		HasAddr: true, Family: b[1], Addr: f.addr.Unmap(), AddrStart: i + 3, AddrEnd: i + f.addrEnd,
	}, ok
}
