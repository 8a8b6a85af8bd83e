package rewrite

import (
	"encoding/binary"
	"time"
)

// stepEditor handles one packet from the sender as the gateway does.
func (w *world) stepEditor(b []byte) {
	var p Packet
	if !p.Parse(b) {
		w.t.Fatal("the sender's packet does not parse")
	}
	a := w.conn.Receive(Original, &p, &w.room)
	if a.Missed || a.Joint != Follows || len(a.Plain) > 0 {
		w.t.Fatalf("nothing passed unseen, but %+v", a)
	}
	switch a.Fate {
	case Wait:
		w.conn.Hold(time.Time{}, &p, Waiting{Dir: Original}, &w.room)
		return
	case Ask, Full:
		w.keep()
		w.leave(&p, w.conn.Probe(nil, Original, &p))
		return
	}
	if len(a.New) > 0 {
		edits := w.randomEdits(a.New)
		w.want = append(w.want, apply(a.New, edits)...)
		w.conn.Take(Original, a.New, edits)
	}
	if st := &w.conn.half[Original].stream; int(st.FinalEdge()-w.isn) != len(w.want) {
		w.t.Fatalf("the editor's edge is at %d, a proxy's at %d", st.FinalEdge()-w.isn, len(w.want))
	}
	w.keep()
	out, changed := w.conn.Emit(nil, Original, &p)
	if !changed {
		out = append([]byte(nil), b...)
	}
	if w.conn.Account(&w.room); len(w.want)%3 == 0 {
		w.conn.Rest() // what is in flight must survive it
	}
	w.leave(&p, out)
	if h, ok := w.conn.Next(&w.room); ok {
		w.stepEditor(h.Data)
	}
}

// keep gives the kernel its part, and sees to it that everything is seen while it must be.
func (w *world) keep() {
	k := w.conn.Keep()
	if w.kernel {
		w.carried = k.Carried
	}
	st := &w.conn.half[Original].stream
	if st.inFlight().edits > 0 && !(k.Seen && (k.Only || !w.kernel && st.Delta() != 0)) {
		w.t.Fatalf("edits are in flight, but packets may pass unseen: %+v", k)
	}
}

// leave checks what leaves in place of p, and lets the kernel do its part.
func (w *world) leave(p *Packet, out []byte) {
	var q Packet
	if !q.Parse(out) || !q.ChecksumOK() {
		w.t.Fatalf("a packet with a bad checksum or form left: % x", out)
	}
	if q.Len() > max(p.Len(), alwaysFits4) {
		w.t.Fatalf("a packet of %d bytes became one of %d", p.Len(), q.Len())
	}
	seq := q.Seq() + uint32(w.carried[Original])
	if len(p.Payload()) > 0 && len(q.Payload()) == 0 && len(w.want) > 0 && seq != w.isn {
		w.t.Fatalf("a segment with data left without any: the receiver would not acknowledge it")
	}
	binary.BigEndian.PutUint32(out[24:], seq)
	w.toss(&w.there, append([]byte(nil), out...))
}

// stepBack handles an acknowledgement as the gateway does.
func (w *world) stepBack(b []byte) {
	var p Packet
	p.Parse(b)
	w.conn.Receive(Reply, &p, &w.room)
	w.keep()
	limit := w.conn.half[Original].stream.Original(p.Ack())
	out, changed := w.conn.Emit(nil, Reply, &p)
	if !changed {
		out = append([]byte(nil), b...)
	}
	var q Packet
	if !q.Parse(out) || !q.ChecksumOK() {
		w.t.Fatalf("a bad acknowledgement left: % x", out)
	}
	carried := uint32(w.carried[Original])
	ack := q.Ack() - carried
	if after(ack, limit) {
		w.t.Fatalf("original %d is acknowledged, but only %d is known to have arrived", ack-w.isn,
			limit-w.isn)
	}
	binary.BigEndian.PutUint32(out[28:], ack)
	for s := q.SACK(); len(s) >= sackUnit; s = s[sackUnit:] {
		l := binary.BigEndian.Uint32(s) - carried
		r := binary.BigEndian.Uint32(s[4:]) - carried
		if !before(l, r) || after(r, w.nxt) || before(l, w.isn-1) {
			w.t.Fatalf("SACK block %d-%d, sent is up to %d", l-w.isn, r-w.isn, w.nxt-w.isn)
		}
	}
	w.toss(&w.home, out)
}
