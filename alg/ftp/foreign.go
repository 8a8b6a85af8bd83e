package ftp

import "bytes"

// Foreign tells whether a line from the client belongs to another protocol: HTTP, TLS,
// SSH, SMTP, IRC, RTSP, SIP, or anything binary. It may be asked about the beginning of
// a line too. Only what no FTP client sends counts, for a session that is taken for
// foreign gets no help any more: the argument of a command may hold any bytes, and the
// command itself any visible ASCII but a colon.
func Foreign(line []byte) bool {
	c := ParseCommand(line)
	return c.Foreign(line)
}

// Foreign is as the function Foreign, for the line that c was taken from.
func (c *Command) Foreign(line []byte) bool {
	if c.Verb > Other {
		return false
	}
	arg := line[c.ArgStart:c.ArgEnd]
	var upper [maxForeign]byte
	for i, b := range c.Name {
		// A carriage return is a client's slip. Other controls and 8-bit bytes are
		// binary: a TLS record begins with 16 03, an SSLv2 hello with a byte above 80.
		// A colon ends the name of a header field.
		if b < ' ' && b != '\r' || b >= 0x7f || b == ':' {
			return true
		}
		if i < len(upper) {
			upper[i] = toUpper(b)
		}
	}
	switch name := upper[:min(len(c.Name), len(upper))]; string(name) {
	case "EHLO", "HELO", "LHLO", "DATA", "STARTTLS", "NICK", "PRIVMSG":
		return true
	case "MAIL": // RFC 765 has a MAIL too
		return begins(arg, "FROM:")
	case "RCPT":
		return begins(arg, "TO:")
	case "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PRI":
		return len(arg) > 0
	}
	if len(c.Name) <= 4 {
		return begins(c.Name, "SSH-") || begins(c.Name, "SIP/")
	}
	// Methods beyond these are told by the version. FTP's commands of letters have four
	// at most (RFC 959 section 5.3), and file names may well end like a version.
	return begins(c.Name, "SSH-") || isVersion(c.Name) || onlyLetters(c.Name) && endsInVersion(arg)
}

// maxForeign is one more than the longest name that Foreign knows.
const maxForeign = len("STARTTLS") + 1

// endsInVersion tells whether the last word is like HTTP/1.1.
func endsInVersion(arg []byte) bool {
	return isVersion(arg[bytes.LastIndexByte(arg, ' ')+1:])
}

func isVersion(word []byte) bool {
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
