package ftp

import "bytes"

// Verb is what a command line is to a gateway. Commands that neither name an address
// nor change what the session may do are [Other].
type Verb uint8

const (
	None     Verb = iota // a blank line, or only Telnet controls
	Other                // any other command, known or not
	User                 // RFC 959 section 4.1.1
	Pass                 // RFC 959 section 4.1.1
	Acct                 // RFC 959 section 4.1.1
	Rein                 // RFC 959 section 4.1.1
	Quit                 // RFC 959 section 4.1.1
	Host                 // RFC 7151
	Auth                 // RFC 2228 section 3
	CCC                  // RFC 2228 section 3
	Port                 // RFC 959 section 4.1.2
	EPRT                 // RFC 2428 section 2
	Pasv                 // RFC 959 section 4.1.2
	CPSV                 // answered like PASV; the data connection's TLS roles are swapped
	EPSV                 // RFC 2428 section 3
	LPRT                 // RFC 1639
	LPSV                 // RFC 1639; and SPSV, whose reply has no address either that is understood here
	Transfer             // RETR STOR STOU APPE LIST NLST (RFC 959), MLSD (RFC 3659)

	// NumVerbs is the number of verbs: each is below it.
	NumVerbs = int(Transfer) + 1
)

var verbNames = [NumVerbs]string{
	"none", "other", "USER", "PASS", "ACCT", "REIN", "QUIT", "HOST", "AUTH", "CCC",
	"PORT", "EPRT", "PASV", "CPSV", "EPSV", "LPRT", "LPSV", "transfer",
}

// String returns the command in upper case, or "none", "other" or "transfer".
func (v Verb) String() string {
	if int(v) < len(verbNames) {
		return verbNames[v]
	}
	return "invalid"
}

// AsksPassive tells whether the command is answered by a 227 or 229.
func (v Verb) AsksPassive() bool { return v == Pasv || v == CPSV || v == EPSV }

// Command is a command line taken apart.
type Command struct {
	Verb Verb
	Name []byte // the command as sent; part of the line
	// NameStart..NameEnd is where Name stands. They are equal if Verb is None.
	NameStart, NameEnd int
	// ArgStart..ArgEnd is the argument without the blanks around it. They are equal
	// if there is none.
	ArgStart, ArgEnd int
}

// ParseCommand takes a command line apart (RFC 959 section 5.3). It skips Telnet
// controls, blanks, NULs and carriage returns before the command, and takes any run of
// blanks for the one space. A carriage return or NUL further on is part of the
// word it stands in. It never fails: what is no known command is [Other].
func ParseCommand(line []byte) Command {
	start := skipLead(line[:lineLen(line)])
	end := max(start, trimEnd(line))
	stop := start
	for stop < end && !isBlank(line[stop]) {
		stop++
	}
	name := line[start:stop:stop]
	return Command{
		Verb: verbOf(name), Name: name, NameStart: start, NameEnd: stop,
		ArgStart: skipBlanks(line[:end], stop), ArgEnd: end,
	}
}

func verbOf(name []byte) Verb {
	if len(name) == 0 {
		return None
	}
	var upper [4]byte
	if len(name) > len(upper) {
		return Other
	}
	for i, b := range name {
		upper[i] = toUpper(b)
	}
	return verbNamed(string(upper[:len(name)]))
}

// verbNamed returns the verb with a name of four letters at most, in upper case.
func verbNamed(name string) Verb {
	switch name {
	case "USER":
		return User
	case "PASS":
		return Pass
	case "ACCT":
		return Acct
	case "REIN":
		return Rein
	case "QUIT":
		return Quit
	case "HOST":
		return Host
	case "AUTH":
		return Auth
	case "CCC":
		return CCC
	case "PORT":
		return Port
	case "EPRT":
		return EPRT
	case "PASV":
		return Pasv
	case "CPSV":
		return CPSV
	case "EPSV":
		return EPSV
	case "LPRT":
		return LPRT
	case "LPSV", "SPSV":
		return LPSV
	case "RETR", "STOR", "STOU", "APPE", "LIST", "NLST", "MLSD":
		return Transfer
	}
	return Other
}

// EPSVAll tells whether the argument of an EPSV is "ALL", in any case (RFC 2428 section 4).
func EPSVAll(arg []byte) bool { return fold(arg, "ALL") }

// fold tells whether b is s, the case of ASCII letters aside; s is in upper case.
func fold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range b {
		if toUpper(b[i]) != s[i] {
			return false
		}
	}
	return true
}

// toUpper returns a letter of ASCII in upper case, and anything else as it is.
func toUpper(b byte) byte {
	if 'a' <= b && b <= 'z' {
		b -= 'a' - 'A'
	}
	return b
}

// lineLen returns the length of the line without its line feed.
func lineLen(line []byte) int {
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		return i
	}
	return len(line)
}

// trimEnd returns the length of the line without its end and the blanks before it.
func trimEnd(line []byte) int {
	end := lineLen(line)
	for end > 0 && (isBlank(line[end-1]) || line[end-1] == '\r') {
		end--
	}
	return end
}

// skipLead returns where the command begins.
func skipLead(b []byte) int {
	at := 0
	for at < len(b) {
		switch n := telnet(b[at:]); {
		case n > 0:
			at += n
		case isBlank(b[at]) || b[at] == 0 || b[at] == '\r':
			at++
		default:
			return at
		}
	}
	return at
}

// telnet returns the length of the Telnet command at the start of b, 0 if there is none
// (RFC 854). One that is cut short reaches to the end of b. Two IAC are an escaped
// data byte, no command.
func telnet(b []byte) int {
	const iac = 0xff
	switch {
	case b[0] != iac:
		return 0
	case len(b) == 1:
		return 1
	case b[1] >= 0xfb && b[1] <= 0xfe: // WILL, WONT, DO, DONT and an option
		return min(3, len(b))
	case b[1] >= 0xf0 && b[1] <= 0xfa:
		return 2
	}
	return 0
}

func skipBlanks(b []byte, at int) int {
	for at < len(b) && isBlank(b[at]) {
		at++
	}
	return at
}

func isBlank(b byte) bool { return b == ' ' || b == '\t' }
