package dialogue

import (
	"bytes"
	"sync/atomic"
	"time"

	"github.com/ftpalg/ftpalg/alg/ftp"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/rewrite"
)

// Counts count lines. They may be read from any goroutine.
type Counts struct {
	Commands [ftp.NumVerbs]atomic.Uint64
	Replies  [7]atomic.Uint64                         // by first digit
	Masked   [len(policy.MaskedReplies)]atomic.Uint64 // lines of replies made unreadable
	Unparsed atomic.Uint64                            // should name an address and do not
	Opaque   atomic.Uint64                            // dialogues that became opaque
}

// Draft collects the edits of the data under way. One serves all dialogues of a gateway.
type Draft struct {
	Now   time.Time
	Edits []rewrite.Edit // in order; their texts are valid until Begin
	Reset bool           // a strict rule was broken that calls for a reset of the connection

	arena   []byte
	scratch [128]byte
	spare   []*line
}

// Begin forgets what was collected.
func (w *Draft) Begin(now time.Time) {
	w.Now, w.Edits, w.arena, w.Reset = now, w.Edits[:0], w.arena[:0], false
}

// keep stores the text of an edit.
func (w *Draft) keep(b ...[]byte) []byte {
	at := len(w.arena)
	for _, p := range b {
		w.arena = append(w.arena, p...)
	}
	return w.arena[at:len(w.arena):len(w.arena)]
}

// edit notes that del bytes at at become text.
func (w *Draft) edit(at, del int, text []byte) {
	if del > 0 {
		w.Edits = append(w.Edits, rewrite.Edit{At: at, Del: del, Text: text})
	}
}

// swallow notes that the byte at at goes on later or not at all.
func (w *Draft) swallow(at int) {
	if k := len(w.Edits) - 1; k >= 0 && w.Edits[k].At+w.Edits[k].Del == at && len(w.Edits[k].Text) == 0 {
		w.Edits[k].Del++
		return
	}
	w.edit(at, 1, nil)
}

// line returns an empty line to collect pieces in.
func (w *Draft) line() *line {
	if k := len(w.spare) - 1; k >= 0 {
		l := w.spare[k]
		w.spare = w.spare[:k]
		*l = line{buf: l.buf[:0]}
		return l
	}
	return &line{buf: make([]byte, 0, maxLine)}
}

// done gives a line back.
func (w *Draft) done(l *line) {
	if len(w.spare) < 16 {
		w.spare = append(w.spare, l)
	}
}

// filler is what blanked arguments consist of, mask what replaces text from the server.
var (
	filler = bytes.Repeat([]byte{'x'}, maxLine)
	mask   = bytes.Repeat([]byte{'X'}, maxLine)
)
