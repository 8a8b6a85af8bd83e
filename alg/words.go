package alg

import (
	"bytes"
	"unique"

	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/ftp"
)

// Names says which names that a client sends are kept for Snapshot and Fate; none by default.
type Names struct{ Users, Files bool }

const (
	maxName    = 64 // bytes kept of a user or file name
	maxCommand = 8  // and of a command
)

// words is what is kept of the words of a session.
type words struct {
	last [maxCommand]byte // command
	said *said            // nil: nothing else is kept
}

// said is what is kept of a session that named its user or transferred something.
type said struct {
	user     unique.Handle[string] // many have the same; the zero value: not known
	transfer *transfer             // the last; nil: there was none
}

// transfer is what is kept of a transfer's words.
type transfer struct {
	verb [maxCommand]byte
	file []byte // its array is used again
	code int16  // last reply to it, 0: none yet
}

// user returns the name of the user, empty if it is not known.
func (w *words) user() string {
	if w.said == nil || w.said.user == (unique.Handle[string]{}) {
		return ""
	}
	return w.said.user.Value()
}

// transfer returns the last transfer; nil if there was none.
func (w *words) transfer() *transfer {
	if w.said == nil {
		return nil
	}
	return w.said.transfer
}

// command keeps what is to be shown of a command. It allocates nothing for a name that is no longer than
// the last one.
func (w *words) command(n *dialogue.Notice, keep Names) {
	copyUpper(&w.last, n.Name)
	arg := n.Arg
	if len(arg) > maxName {
		arg = arg[:maxName]
	}
	named := n.Verb == ftp.User && keep.Users
	if w.said == nil && (named || n.Verb == ftp.Transfer) {
		w.said = &said{}
	}
	switch {
	case named:
		if w.user() != string(arg) {
			w.said.user = unique.Make(string(arg))
		}
	case n.Verb == ftp.Transfer:
		if w.said.transfer == nil {
			w.said.transfer = &transfer{}
		}
		x := w.said.transfer
		x.verb, x.code = w.last, 0
		if x.file = x.file[:0]; keep.Files {
			x.file = append(x.file, arg...)
		}
	}
}

// reply keeps the last reply to a transfer.
func (w *words) reply(n *dialogue.Notice) {
	if x := w.transfer(); n.Verb == ftp.Transfer && x != nil {
		x.code = int16(n.Code)
	}
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
