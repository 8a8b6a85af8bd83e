package ftp

import "bytes"

// Foreign tells whether a line from the client belongs to another protocol: HTTP, TLS,
// SSH, SMTP, IRC, RTSP, SIP, or anything binary. It may be asked about the beginning of
// a line too. Only what no FTP client sends counts, for a session that is taken for
// foreign gets no help any more: the argument of a command may hold any bytes, and the
// command itself any visible ASCII but a colon.
func Foreign(line []byte) bool {
	c := ParseCommand(line)
	arg := line[c.ArgStart:c.ArgEnd]
	for _, b := range c.Name {
		// A carriage return is a client's slip. Other controls and 8-bit bytes are
		// binary: a TLS record begins with 16 03, an SSLv2 hello with a byte above 80.
		// A colon ends the name of a header field.
		if b < ' ' && b != '\r' || b >= 0x7f || b == ':' {
			return true
		}
	}
	switch name := c.Name; {
	case begins(name, "SSH-"), begins(name, "HTTP/"), begins(name, "RTSP/"), begins(name, "SIP/"):
		return true
	case fold(name, "EHLO"), fold(name, "HELO"), fold(name, "LHLO"), fold(name, "DATA"),
		fold(name, "STARTTLS"), fold(name, "NICK"), fold(name, "PRIVMSG"):
		return true
	case fold(name, "MAIL"): // RFC 765 has a MAIL too
		return begins(arg, "FROM:")
	case fold(name, "RCPT"):
		return begins(arg, "TO:")
	case fold(name, "GET"), fold(name, "POST"), fold(name, "PUT"), fold(name, "HEAD"), fold(name, "DELETE"),
		fold(name, "OPTIONS"), fold(name, "PATCH"), fold(name, "TRACE"), fold(name, "CONNECT"),
		fold(name, "PRI"):
		return len(arg) > 0
	}
	// Methods beyond these are told by the version. FTP's commands of letters have four
	// at most (RFC 959 section 5.3), and file names may well end like a version.
	return len(c.Name) > 4 && onlyLetters(c.Name) && endsInVersion(arg)
}

// endsInVersion tells whether the last word is like HTTP/1.1.
func endsInVersion(arg []byte) bool {
	word := arg[bytes.LastIndexByte(arg, ' ')+1:]
	return begins(word, "HTTP/") || begins(word, "RTSP/") || begins(word, "SIP/")
}

// begins tells whether b begins with s, the case of ASCII letters aside; s is in upper case.
func begins(b []byte, s string) bool { return len(b) >= len(s) && fold(b[:len(s)], s) }

func onlyLetters(b []byte) bool {
	for _, c := range b {
		if c |= 'a' - 'A'; c < 'a' || c > 'z' {
			return false
		}
	}
	return true
}
