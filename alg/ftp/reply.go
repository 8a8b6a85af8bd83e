package ftp

import "net/netip"

// ReplyKind is what a line from the server is (RFC 959 section 4.2).
type ReplyKind uint8

const (
	NotReply ReplyKind = iota // text, as inside a multi-line reply
	Final                     // "ddd text": a whole reply, or the last line of one
	Opening                   // "ddd-text": the first line of several
)

// ParseReply returns the code, 100 to 699, of a line from the server and its kind.
func ParseReply(ln []byte) (code int, kind ReplyKind) {
	i := 0
	for i < len(ln) && ln[i] == iac {
		i = min(i+2+telnetOption(ln[i:]), len(ln))
	}
	b := ln[i:]
	if len(b) < 3 || b[0] < '1' || b[0] > '6' || !isDigit(b[1]) || !isDigit(b[2]) {
		return 0, NotReply
	}
	code = int(b[0]-'0')*100 + int(b[1]-'0')*10 + int(b[2]-'0')
	switch {
	case len(b) == 3 || isBlank(b[3]) || isEnd(b[3]):
		return code, Final
	case b[3] == '-':
		return code, Opening
	}
	return 0, NotReply
}

// telnetOption is 1 if the Telnet control at b has an option byte.
func telnetOption(b []byte) int {
	if len(b) > 1 && b[1] >= will && b[1] <= dont {
		return 1
	}
	return 0
}

// Passive is the address in a 227 reply.
type Passive struct {
	Addr       netip.AddrPort
	Start, End int // from the first digit to behind the last
}

// ParsePassive finds the six numbers in a 227 line, wherever they stand behind the code (RFC 1123
// section 4.1.2.6): with or without parentheses, behind text with other numbers. A run
// of more or fewer numbers, or with one above 255, is not an address. Of several it takes
// the first, as clients do.
func ParsePassive(ln []byte) (Passive, bool) {
	for i := 3; i < len(ln); {
		if !isDigit(ln[i]) {
			i++
			continue
		}
		a, end, ok := sixNumbers(ln, i)
		if ok && !continues(ln, end) {
			return Passive{Addr: a, Start: i, End: end}, true
		}
		i = skipRun(ln, i)
	}
	return Passive{}, false
}

// continues tells whether the numbers go on at end.
func continues(b []byte, end int) bool {
	if end < len(b) && isDigit(b[end]) {
		return true
	}
	for end < len(b) && isBlank(b[end]) {
		end++
	}
	return end < len(b) && b[end] == ','
}

// skipRun returns where a run of numbers joined by commas ends.
func skipRun(b []byte, i int) int {
	for {
		for i < len(b) && isDigit(b[i]) {
			i++
		}
		j := i
		for j < len(b) && isBlank(b[j]) {
			j++
		}
		if j >= len(b) || b[j] != ',' {
			return i
		}
		for j++; j < len(b) && isBlank(b[j]); {
			j++
		}
		if j >= len(b) || !isDigit(b[j]) {
			return j
		}
		i = j
	}
}

// Extended is the port in a 229 reply.
type Extended struct {
	Delim              byte
	Port               uint16 // 1 to 65535
	PortStart, PortEnd int

	// The address, where one is named against RFC 2428 section 3.
	HasAddr            bool
	Family             byte
	Addr               netip.Addr
	AddrStart, AddrEnd int
}

// ParseExtended finds the last <d><d><d>port<d> in a 229 line (RFC 2428 section 3), with or without
// parentheses. A port that lacks a delimiter is not taken: clients do not agree on it.
func ParseExtended(ln []byte) (Extended, bool) {
	for i := len(ln) - 1; i > 3; i-- {
		if e, ok := extendedAt(ln, i); ok {
			return e, true
		}
	}
	return Extended{}, false
}

// extendedAt reads <d>[family]<d>[address]<d>port<d> whose last delimiter is at end.
func extendedAt(ln []byte, end int) (Extended, bool) {
	e := Extended{Delim: ln[end], PortEnd: end}
	if !isDelim(e.Delim) {
		return e, false
	}
	i := end
	for i > 0 && isDigit(ln[i-1]) {
		i--
	}
	e.PortStart = i
	n, _, ok := number(ln[:end], i, 65535)
	if !ok || n == 0 || i < 4 || ln[i-1] != e.Delim {
		return e, false
	}
	e.Port = uint16(n)
	if ln[i-2] == e.Delim && ln[i-3] == e.Delim {
		return e, true
	}
	e.AddrEnd = i - 1
	for i = e.AddrEnd; i > 0 && ln[i-1] != e.Delim; {
		i--
	}
	e.AddrStart = i
	if i < 6 || e.AddrStart == e.AddrEnd || ln[i-3] != e.Delim || ln[i-2] != '1' && ln[i-2] != '2' {
		return e, false
	}
	e.HasAddr, e.Family = true, ln[i-2]
	e.Addr, ok = parseAddr(ln[e.AddrStart:e.AddrEnd], e.Family)
	return e, ok
}
