package rewrite_test

import (
	"bytes"
	"strings"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
	"github.com/ftpalg/ftpalg/test/sim"
)

// rendered is what the editor makes of a line: one that begins with E becomes longer, or shorter if the first
// digit behind it is odd; one that begins with S keeps its length. The first byte and the end stay.
func rendered(line string) string {
	body := strings.TrimRight(line[1:], "\r\n")
	end := line[1+len(body):]
	switch {
	case line[0] == 'E' && body[0]&1 != 0:
		body = strings.ToUpper(body[:len(body)/2])
	case line[0] == 'E':
		body = strings.ToUpper(body) + body
	case line[0] == 'S':
		body = strings.ToUpper(body)
	}
	return line[:1] + body + end
}

// editor is a program around one Conn, as small as can be. What it edits of a line that comes in pieces is
// swallowed until the line ends, or changed in its place if the length stays.
type editor struct {
	kernel *sim.Kernel
	conn   rewrite.Conn
	room   rewrite.Room
	kept   conntrack.Flow // what the kernel has
	side   [2]reader
	edits  []rewrite.Edit
}

// reader is what is known of the line under way in a direction.
type reader struct {
	line   []byte // of it, if it is read
	skip   bool   // it began before we looked
	join   bool   // the next byte need not follow on the last
	atLine bool   // but a line may start with it
}

// midLine tells in the state, by direction, that the last byte was not the end of a line.
var midLine = [2]conntrack.State{1 << 6, 1 << 7}

func startEditor(k *sim.Kernel) sim.Program {
	e := &editor{kernel: k, kept: k.Entry, room: rewrite.Room{MaxPackets: 1024, MaxBytes: 1 << 20}}
	was := rewrite.Kept{Recent: true}
	for d, a := range k.Entry.Seq {
		was.Carried[d] = a.After
		was.Mark[d] = rewrite.Mark{Line: a.Pos, End: k.Entry.Flight[d].End, Grown: k.Entry.Flight[d].Base}
		was.MidLine[d] = k.Entry.State&midLine[d] != 0
	}
	e.conn.PickUp(was, rewrite.Kernel, false)
	return e
}

// Handle is the way of a packet that rewrite.Conn documents.
func (e *editor) Handle(now time.Time, id, _ uint32, b []byte) (sim.Verdict, []byte) {
	var p rewrite.Packet
	if !p.Parse(b) {
		panic("a packet does not parse")
	}
	if p.Flags()&rewrite.SYN != 0 {
		e.conn.Begin(p.Ack(), p.Seq()+1)
		return sim.Accept, nil
	}
	dir := rewrite.Dir(e.kernel.Entry.Direction(conntrack.Tuple{Src: p.Src(), Dst: p.Dst()}))
	e.conn.Confirm(dir, true)
	a := e.conn.Receive(dir, &p, &e.room)
	switch a.Fate {
	case rewrite.Wait:
		e.keep()
		if e.conn.Hold(now, &p, rewrite.Waiting{ID: id, Dir: dir}, &e.room) {
			return sim.Hold, nil
		}
		return sim.Drop, nil
	case rewrite.Ask, rewrite.Full:
		e.keep()
		return sim.Rewrite, e.conn.Probe(nil, dir, &p)
	}
	e.read(dir, &a)
	e.keep()
	out, changed := e.conn.Emit(nil, dir, &p)
	e.conn.Account(&e.room)
	if !changed {
		return sim.Accept, nil
	}
	return sim.Rewrite, out
}

func (e *editor) Tick(now time.Time) {
	e.conn.Expire(now)
	e.conn.Rest()
}

func (e *editor) Next() (sim.Held, bool) {
	w, ok := e.conn.Next(&e.room)
	return sim.Held{Data: w.Data}, ok
}

// read reads what is new, and edits it.
func (e *editor) read(dir rewrite.Dir, a *rewrite.Arrival) {
	s := &e.side[dir]
	if len(a.Plain)+len(a.New) > 0 {
		switch a.Joint {
		case rewrite.Resumed:
			*s = reader{join: true, atLine: e.kept.State&midLine[dir] == 0}
		case rewrite.Begun:
			*s = reader{join: true, atLine: true}
		case rewrite.Torn:
			*s = reader{join: true}
		}
	}
	if n := len(a.Plain); n > 0 {
		*s = reader{skip: a.Plain[n-1] != '\n'}
	}
	if len(a.New) == 0 {
		return
	}
	if s.join {
		s.join, s.skip = false, !s.atLine || !strings.Contains("ESN", string(a.New[:1]))
	}
	e.edits = e.edits[:0]
	for at := 0; at < len(a.New); {
		n := len(a.New) - at
		if i := bytes.IndexByte(a.New[at:], '\n'); i >= 0 {
			n = i + 1
		}
		e.piece(s, a.New[at:at+n], at)
		at += n
	}
	e.conn.Take(dir, a.New, e.edits)
}

// piece reads a line or a piece of one, which stands at at in the new data.
func (e *editor) piece(s *reader, piece []byte, at int) {
	ends := piece[len(piece)-1] == '\n'
	if s.skip {
		s.skip = !ends
		return
	}
	had := len(s.line)
	s.line = append(s.line, piece...)
	switch from := max(0, 1-had); {
	case s.line[0] == 'S':
		e.edits = append(e.edits, rewrite.Edit{At: at, Del: len(piece), Text: bytes.ToUpper(piece)})
	case s.line[0] == 'E' && from < len(piece):
		var text []byte
		if ends {
			text = []byte(rendered(string(s.line)))[1:]
		}
		e.edits = append(e.edits, rewrite.Edit{At: at + from, Del: len(piece) - from, Text: text})
	}
	if ends {
		s.line = nil
	}
}

// keep brings the kernel's entry up to date.
func (e *editor) keep() {
	c := e.conn.Keep()
	want := e.kept
	for d := range rewrite.Dir(2) {
		m := c.Mark[d]
		if want.Seq[d].Before, want.Seq[d].After = c.Carried[d], c.Carried[d]; m.End != 0 {
			want.Seq[d].Pos = m.Line
		}
		want.Flight[d] = conntrack.Flight{Base: m.Grown, End: m.End}
		want.State = put(want.State, midLine[d], e.midLine(d, &c))
	}
	want.State = put(want.State, conntrack.StateBusy, c.Seen)
	want.State = put(want.State, conntrack.StateNoBypass, c.Only)
	u := conntrack.Update{
		StateMask: want.State ^ e.kept.State, State: want.State, Seq: want.Seq, Flight: want.Flight,
	}
	for d := range want.Seq {
		u.SetSeq[d], u.SetFlight[d] = want.Seq[d] != e.kept.Seq[d], want.Flight[d] != e.kept.Flight[d]
	}
	if !u.Empty() {
		_ = e.kernel.Update(want.Tuple[0], u) // it never fails
		e.kept = want
	}
}

// midLine tells what is to be remembered of where a direction's last line ended.
func (e *editor) midLine(d rewrite.Dir, c *rewrite.Kept) bool {
	s := &e.side[d]
	switch {
	case e.conn.Unsure(d), c.Mark[d].End == 0 && e.conn.Pending(d) == rewrite.Resumed:
		return e.kept.State&midLine[d] != 0
	case c.Mark[d].End != 0:
		return c.MidLine[d]
	case e.conn.Pending(d) == rewrite.Begun:
		return false
	case e.conn.Pending(d) == rewrite.Torn:
		return true
	}
	return s.skip || len(s.line) > 0
}

func put(s, bit conntrack.State, on bool) conntrack.State {
	if on {
		return s | bit
	}
	return s &^ bit
}
