package ftp

import "bytes"

// Verb is a command, as far as it matters to a gateway.
type Verb uint8

const (
	None Verb = iota // a blank line, or only Telnet controls
	Other
	User
	Pass
	Acct
	Rein
	Quit
	Host // RFC 7151
	Auth // RFC 2228, RFC 4217
	CCC  // RFC 2228
	Port
	EPRT // RFC 2428
	Pasv
	EPSV     // RFC 2428
	CPSV     // PASV for a secure transfer between servers; answered by 227
	LPRT     // RFC 1639
	LPSV     // RFC 1639
	Transfer // opens the data connection: RETR STOR STOU APPE LIST NLST MLSD
	NumVerbs
)

var verbNames = [NumVerbs]string{
	None: "none", Other: "other", User: "USER", Pass: "PASS", Acct: "ACCT", Rein: "REIN", Quit: "QUIT", Host: "HOST",
	Auth: "AUTH", CCC: "CCC", Port: "PORT", EPRT: "EPRT", Pasv: "PASV", EPSV: "EPSV", CPSV: "CPSV", LPRT: "LPRT", LPSV: "LPSV",
	Transfer: "transfer",
}

func (v Verb) String() string { return verbNames[v] }

// AsksPassive tells whether v is answered by the address of a data port.
func (v Verb) AsksPassive() bool { return v == Pasv || v == EPSV || v == CPSV }

var transfers = [...]string{"RETR", "STOR", "STOU", "APPE", "LIST", "NLST", "MLSD"}

// Command is a command line taken apart. The offsets are into the line.
type Command struct {
	Verb               Verb
	Name               []byte // the verb as sent; part of the line
	NameStart, NameEnd int
	ArgStart, ArgEnd   int // without the blanks around it; equal: no argument
}

// Telnet controls (RFC 854) that clients put before a command, ABOR above all.
const (
	iac  = 0xff
	will = 0xfb
	dont = 0xfe
)

func isBlank(b byte) bool { return b == ' ' || b == '\t' }

func isEnd(b byte) bool { return b == '\r' || b == '\n' }

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

// skipLead returns where a line's text begins behind Telnet controls, blanks, NULs and stray line ends.
func skipLead(ln []byte) int {
	i := 0
	for i < len(ln) {
		switch b := ln[i]; {
		case b == iac && i+1 < len(ln) && ln[i+1] >= will && ln[i+1] <= dont:
			i += 3
		case b == iac:
			i += 2
		case isBlank(b), b == 0, b == '\r':
			i++
		default:
			return i
		}
	}
	return len(ln)
}

// ParseCommand takes a command line apart, with or without its end.
func ParseCommand(ln []byte) Command {
	i := skipLead(ln)
	c := Command{NameStart: i}
	for i < len(ln) && !isBlank(ln[i]) && !isEnd(ln[i]) {
		i++
	}
	c.NameEnd, c.Name = i, ln[c.NameStart:i]
	for i < len(ln) && isBlank(ln[i]) {
		i++
	}
	end := len(ln)
	for end > i && (isEnd(ln[end-1]) || isBlank(ln[end-1])) {
		end--
	}
	c.ArgStart, c.ArgEnd = i, end
	c.Verb = verbOf(c.Name)
	return c
}

func verbOf(name []byte) Verb {
	if len(name) == 0 {
		return None
	}
	for v := User; v < Transfer; v++ {
		if equalFold(name, verbNames[v]) {
			return v
		}
	}
	for _, t := range transfers {
		if equalFold(name, t) {
			return Transfer
		}
	}
	return Other
}

// equalFold compares ASCII letters in any case; want is in upper case.
func equalFold(b []byte, want string) bool {
	if len(b) != len(want) {
		return false
	}
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != want[i] {
			return false
		}
	}
	return true
}

// EPSVAll tells whether the argument of an EPSV is ALL (RFC 2428 section 4).
func EPSVAll(arg []byte) bool { return equalFold(arg, "ALL") }

// Request words of other protocols that browsers and proxies can be made to send. PUT, GET
// and the like are no FTP commands (RFC 959 section 4.1).
var foreign = [...]string{
	"GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH", "TRACE", "CONNECT", "PRI", "PROPFIND",
	"EHLO", "HELO", "RCPT", "DATA", "INVITE", "REGISTER", "DESCRIBE", "SETUP", "STARTTLS", "NICK", "PRIVMSG",
}

// Foreign tells whether a client's line is of another protocol than FTP: a request of HTTP, SMTP,
// SIP, RTSP or IRC, a header, an SSH banner, TLS or other binary data. A client that sends one
// speaks to something else than an FTP server.
func Foreign(ln []byte) bool {
	if len(ln) > 1 && (ln[0] == 0x16 && ln[1] == 3 || ln[0]&0x80 != 0 && ln[0] != iac) || len(ln) == 1 && ln[0] == 0x16 {
		return true // a TLS or SSLv2 hello
	}
	c := ParseCommand(ln)
	for _, b := range c.Name {
		// Letters and digits, and "P@SW", with which an old Java client tries its luck.
		if b <= ' ' || b >= 0x7f || b == ':' || b == '/' || b == '<' || b == '{' {
			return true
		}
	}
	for _, f := range foreign {
		if equalFold(c.Name, f) {
			return true
		}
	}
	if bytes.HasPrefix(c.Name, []byte("SSH-")) {
		return true
	}
	arg := ln[c.ArgStart:c.ArgEnd]
	return equalFold(c.Name, "MAIL") && len(arg) > 5 && equalFold(arg[:5], "FROM:") ||
		bytes.HasSuffix(arg, []byte(" HTTP/1.0")) || bytes.HasSuffix(arg, []byte(" HTTP/1.1"))
}
