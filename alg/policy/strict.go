package policy

import (
	"bytes"
	"regexp"
)

// Strict holds the rules beyond the standard policy. Each is off in its zero value.
//
// A command that breaks one loses its verb: the server answers 500 and nothing hangs. Of
// a command that comes in several segments the verb has been sent already, for nothing is
// held back. It gets a tail that is too long for any name, so that the server refuses it
// too; only a server that ignores arguments that it does not expect may obey.
// Nothing can be seen inside TLS.
type Strict struct {
	// Enabled switches on what Cisco ASA's strict inspection checks: WaitForReply, NeedCRLF,
	// Direction, MaskSYST, and, where they are 0, MaxLine and MaxTrailing.
	Enabled bool

	Allow     []string         // the only commands allowed, in upper case; empty: all
	Deny      []string         // commands refused, in upper case
	DenyUsers []*regexp.Regexp // names refused in USER
	DenyFiles []*regexp.Regexp // names refused in commands that take a path, as they are sent
	ReadOnly  bool             // refuse every command that changes files
	// longest command line in bytes, without its end; 0: any. In segments, 510 at most.
	MaxLine      int
	MaxTrailing  int  // longest text behind the port of PORT and EPRT in bytes; 0: any
	WaitForReply bool // refuse a command while another waits for its reply
	NeedCRLF     bool // refuse a line with a line feed or carriage return alone
	Direction    bool // nothing opens after a PORT from the server or a 227 from the client
	MaskBanner   bool // make the text of 220 unreadable
	MaskSYST     bool // make the text of 215 unreadable
	Reset        bool // a violation ends the session: its packet becomes a reset
}

// What ASA allows, and what the RFCs' 512 bytes leave without the line end.
const (
	strictLine     = 510
	strictTrailing = 8
)

// Whole returns the rules with those that Enabled stands for.
func (r Strict) Whole() Strict {
	if !r.Enabled {
		return r
	}
	r.WaitForReply, r.NeedCRLF, r.Direction, r.MaskSYST = true, true, true, true
	if r.MaxLine == 0 {
		r.MaxLine = strictLine
	}
	if r.MaxTrailing == 0 {
		r.MaxTrailing = strictTrailing
	}
	return r
}

// changing are the commands that change what is on the server (RFC 959, 3659 and common use).
var changing = []string{
	"STOR", "STOU", "APPE", "DELE", "RMD", "XRMD", "MKD", "XMKD", "RNFR", "RNTO", "SITE", "MFMT", "MFCT",
	"MFF", "ALLO",
}

// naming are the commands whose argument is or ends in a path.
var naming = []string{
	"RETR", "STOR", "STOU", "APPE", "DELE", "RNFR", "RNTO", "MKD", "XMKD", "RMD", "XRMD", "CWD", "XCWD",
	"LIST", "NLST", "MLSD", "MLST", "STAT", "SIZE", "MDTM", "MFMT", "MFCT", "MFF",
	"HASH", "XCRC", "XMD5", "XSHA1", "XSHA256", "XSHA512",
}

// Active tells whether any rule for commands is on.
func (r *Strict) Active() bool {
	return r.ReadOnly || r.WaitForReply || r.NeedCRLF || r.Direction || r.MaxLine > 0 || r.MaxTrailing > 0 ||
		len(r.Allow) > 0 || len(r.Deny) > 0 || len(r.DenyFiles) > 0 || len(r.DenyUsers) > 0
}

// Verb tells why a command is refused whatever its argument, or None.
func (r *Strict) Verb(name []byte) Reason {
	switch {
	case !r.ReadOnly && len(r.Allow) == 0 && len(r.Deny) == 0:
		return None
	case r.ReadOnly && Listed(changing, name):
		return ReadOnly
	case Listed(r.Deny, name), len(r.Allow) > 0 && !Listed(r.Allow, name),
		Garbage(name): // the server may skip a Telnet control within
		return CommandDenied
	}
	return None
}

// User tells whether a name may not log in.
func (r *Strict) User(name []byte) bool { return fits(r.DenyUsers, name) }

// File tells whether the argument of a command names a file that is denied.
func (r *Strict) File(command, arg []byte) bool {
	return len(r.DenyFiles) > 0 && Listed(naming, command) && fits(r.DenyFiles, arg)
}

// fits tells whether a name fits one of the patterns. What a server makes of a control
// byte in a name is unknown, so a name with one fits all.
func fits(patterns []*regexp.Regexp, name []byte) bool {
	if len(patterns) == 0 {
		return false
	}
	for i, b := range name {
		if b < ' ' && b != '\t' || b == 0xff && i+1 < len(name) && name[i+1] >= 0xf0 && name[i+1] < 0xff {
			return true
		}
	}
	for _, p := range patterns {
		if p.Match(name) {
			return true
		}
	}
	return false
}

// Garbage tells whether a verb has bytes that no protocol's has. From a client that is
// logged in it is a slip, not another protocol.
func Garbage(name []byte) bool {
	for _, b := range name {
		if b < ' ' || b >= 0x7f {
			return true
		}
	}
	return false
}

// Listed tells whether a command, in any case, is one of the names.
func Listed(names []string, name []byte) bool {
	for _, n := range names {
		if len(n) == len(name) && bytes.EqualFold([]byte(n), name) {
			return true
		}
	}
	return false
}

// MaskedReplies are the labels of the replies that can be made unreadable.
var MaskedReplies = [...]string{"banner", "syst"}

// Masks tells which of MaskedReplies a reply with this code is; -1 if it is to stay as it is.
func (r *Strict) Masks(code int) int {
	switch {
	case code == 220 && r.MaskBanner:
		return 0 // the greeting, and the answers to REIN and HOST
	case code == 215 && r.MaskSYST:
		return 1
	}
	return -1
}
