package alg

import (
	"bytes"

	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/ftp"
)

// Names says which names that a client sends are kept for Snapshot and Fate; none by default.
type Names struct{ Users, Files bool }

const (
	maxName    = 64 // bytes kept of a user or file name
	maxCommand = 8  // and of a command
)

// said is what is kept of the words of a session. It is made when there is something to keep.
type said struct {
	user string
	file []byte // of the last transfer; its array is used again
	verb [maxCommand]byte
	code int16 // last reply to a transfer, 0: none yet
}

// hear keeps what is to be shown of a command. It allocates nothing for a name that is no longer than
// the last one.
func (s *session) hear(n *dialogue.Notice) {
	copyUpper(&s.command, n.Name)
	arg := n.Arg
	if len(arg) > maxName {
		arg = arg[:maxName]
	}
	keep := s.gateway.Names
	switch {
	case n.Verb == ftp.User && keep.Users:
		if w := s.words(); w.user != string(arg) {
			w.user = string(arg)
		}
	case n.Verb == ftp.Transfer:
		w := s.words()
		w.verb, w.code = s.command, 0
		if w.file = w.file[:0]; keep.Files {
			w.file = append(w.file, arg...)
		}
	}
}

// hearReply keeps the last reply to a transfer.
func (s *session) hearReply(n *dialogue.Notice) {
	if n.Verb == ftp.Transfer && s.said != nil {
		s.said.code = int16(n.Code)
	}
}

func (s *session) words() *said {
	if s.said == nil {
		s.said = &said{}
	}
	return s.said
}

// user is who the client says it is.
func (s *session) user() string {
	if s.said == nil {
		return ""
	}
	return s.said.user
}

// copyUpper fills dst with the beginning of name in upper case, and zeros.
func copyUpper(dst *[maxCommand]byte, name []byte) {
	*dst = [maxCommand]byte{}
	for i := range copy(dst[:], name) {
		if b := dst[i]; 'a' <= b && b <= 'z' {
			dst[i] = b - ('a' - 'A')
		}
	}
}

func text(b *[maxCommand]byte) string { return string(bytes.TrimRight(b[:], "\x00")) }
