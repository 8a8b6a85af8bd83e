package alg

import (
	"errors"
	"time"

	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// What the kernel keeps of a session, so that it outlives the program: the offsets of its streams in the
// sequence adjustment of its entry, the dialogue's memory and the edits in flight in its label.

// kept is what the kernel has.
type kept struct {
	entry
	labels  bool // the entry has room for a label
	liberal bool // the kernel was told to accept the numbers of offsets that the program carries
	proved  bool // the kernel took an offset
	unsaved bool // it did not take the last update, or another program wiped the label

	turn conntrack.State // of StateTurn: which one of those who had it we are

	quiet  bool            // all that there is to keep was stored, and the streams were quiet
	memory dialogue.Memory // the dialogue's then
	door   doorway         // and what waited
}

// entry is what of an entry of the kernel is ours.
type entry struct {
	state  conntrack.State
	seq    [2]conntrack.SeqAdj
	flight [2]conntrack.Flight
}

// ofDialogue are the bits of the state that are the dialogue's.
const ofDialogue = conntrack.State(dialogue.Opaque | dialogue.LoggedIn | dialogue.EPSVAll |
	dialogue.AskedPassive | dialogue.MidCommand | dialogue.MidReply | dialogue.NotFTP | dialogue.Greeted |
	dialogue.LoggingIn)

// midLine is the bit that tells that a direction's last byte was not the end of a line.
var midLine = [2]conntrack.State{
	fromClient: conntrack.State(dialogue.MidCommand),
	fromServer: conntrack.State(dialogue.MidReply),
}

// keptOf returns what the kernel has of a flow.
func keptOf(f *conntrack.Flow) kept {
	k := kept{
		entry: entry{f.State, f.Seq, f.Flight}, labels: f.HasState, turn: f.State & conntrack.StateTurn,
	}
	if k.unsaved = k.wiped(f.State); k.unsaved {
		for _, a := range k.seq {
			if m, _, _ := hidden(a); opened(m) {
				k.state |= conntrack.State(dialogue.Greeted | dialogue.LoggedIn)
			}
		}
	}
	return k
}

// relabel finds out whether an entry that tells of no label has room for one: then somebody wiped all of it.
func relabel(g *Gateway, f *conntrack.Flow) {
	if f.HasState || f.Helper == "" {
		return // an entry that is older than the rules: see home.adopt
	}
	var u conntrack.Update
	u.SetLabel(conntrack.StateControl, [2]conntrack.Flight{})
	if err := g.kernel.Update(f.Tuple[conntrack.Original], u); err != nil {
		g.kernelError("write the label of a session anew", err)
		return
	}
	if now, err := g.kernel.Flow(f.Tuple[conntrack.Original]); err == nil {
		f.HasState = now.HasState
	}
}

// wiped tells whether another program had overwritten the label that has this state.
func (k *kept) wiped(state conntrack.State) bool {
	return k.labels && state&conntrack.StateControl == 0
}

// taken counts one more program that has the session.
func (k *kept) taken() { k.turn = (k.turn + oneTurn) & conntrack.StateTurn }

const oneTurn = conntrack.StateTurn / 3

// pickUp returns what of k, of the entry with this number, the streams need.
func (k *kept) pickUp(entry uint32) (c rewrite.Kept) {
	wiped, here := k.wiped(k.state), kernelOf(entry)
	for d, a := range k.seq {
		c.Carried[d] = a.After
		c.Mark[d] = rewrite.Mark{Line: a.Pos, End: k.flight[d].End, Grown: k.flight[d].Base}
		c.MidLine[d] = k.state&midLine[d] != 0
		m, lacked, ok := hidden(a)
		if !ok {
			continue
		}
		if c.Carried[d], c.Mark[d].Line, c.Lacks[d] = a.Before, m.Line, lacked == here; wiped {
			c.Mark[d] = m
		}
	}
	c.Bypassed = wiped // what is in flight may have gone by while no program was there
	c.Untouched = !wiped && k.state&^(conntrack.StateControl|conntrack.StateTurn) == 0 &&
		k.seq == [2]conntrack.SeqAdj{}
	return c
}

// want returns what the kernel should have, for streams that need c.
func (k *kept) want(s *session, memory dialogue.Memory, door doorway, c *rewrite.Kept) (e entry) {
	m := conntrack.State(memory) | door.state | k.turn
	for d := range rewrite.Dir(2) {
		switch {
		case s.conn.Unsure(d), c.Mark[d].End == 0 && s.conn.Pending(d) == rewrite.Resumed:
			m = m&^midLine[d] | k.state&midLine[d]
		case c.Mark[d].End != 0:
			m = put(m, midLine[d], c.MidLine[d])
		case s.conn.Pending(d) == rewrite.Begun:
			m &^= midLine[d]
		case s.conn.Pending(d) == rewrite.Torn:
			m |= midLine[d]
		}
	}
	m = put(m, conntrack.StateBusy, c.Seen)
	m = put(m, conntrack.StateNoBypass, c.Only)
	if c.Seen || s.policy().TLS == policy.TLSWatch && !s.dialogue.NotFTP() {
		m &^= conntrack.StateOpaque
	}
	if k.labels {
		m |= conntrack.StateControl
	}
	e.state, e.seq = m, k.seq
	for d := range c.Mark {
		e.flight[d] = conntrack.Flight{Port: door.port[d], Base: c.Mark[d].Grown, End: c.Mark[d].End}
		if s.conn.Carrier() == rewrite.Program {
			continue
		}
		e.seq[d].Before, e.seq[d].After = c.Carried[d], c.Carried[d]
		switch {
		case c.Lacks[d]:
			e.seq[d] = hideLack(c.Carried[d], c.Mark[d].Line, kernelOf(s.home.id))
		case c.Mark[d].End != 0:
			e.seq[d] = hide(c.Carried[d], c.Mark[d])
		}
	}
	return e
}

func put(m, bit conntrack.State, on bool) conntrack.State {
	if on {
		return m | bit
	}
	return m &^ bit
}

// update brings what the kernel keeps of its session s up to date, before the packet that needs it leaves.
func (k *kept) update(s *session) {
	m := s.dialogue.Memory()
	quiet, door := s.conn.Quiet(), doorwayOf(s)
	if quiet && k.quiet && m == k.memory && door == k.door {
		return
	}
	c := s.conn.Keep()
	want := k.want(s, m, door, &c)
	k.quiet, k.memory, k.door = quiet, m, door
	liberal := s.conn.Carrier() == rewrite.Program && c.Seen && !k.liberal
	if want == k.entry && !liberal && !k.unsaved {
		return
	}
	var u conntrack.Update
	if k.labels && (k.unsaved || want.state != k.state || want.flight != k.flight) {
		u.SetLabel(want.state, want.flight) // whole, so that what others made of it is mended
	}
	k.unsaved = false
	for d := range want.seq {
		u.Seq[d], u.SetSeq[d] = want.seq[d], want.seq[d] != k.seq[d]
	}
	if u.Liberal = liberal; !u.Empty() {
		k.store(s, u, want)
	}
}

// settle is update where no packet proves that no other gateway has the session, and so only after a look at
// the kernel's entry. It returns false if another program had it.
func (k *kept) settle(s *session) bool {
	if !k.verify(s) {
		return false
	}
	if !s.shared && !s.suspect {
		k.update(s)
	}
	return true
}

// look finds out whether another program had the session where nobody told of it.
func (k *kept) look(s *session) {
	g := s.gateway
	if known := g.Alone() && k.settle(s) || !g.Alone() && k.verify(s); !known {
		g.lost(s)
	}
}

func (k *kept) store(s *session, u conntrack.Update, want entry) {
	k.liberal = k.liberal || u.Liberal
	if err := s.gateway.kernel.Update(s.original(), u); err != nil {
		s.gateway.kernelError("store the state of a session", err)
		k.refused(s, u.SetSeq != [2]bool{})
		return
	}
	if u.SetSeq != [2]bool{} && !k.proved {
		// The first time it makes sure that the kernel took them: where the entry has no room for them it
		// says nothing.
		f, err := s.gateway.kernel.Flow(s.original())
		if err != nil || u.SetSeq[0] && f.Seq[0] != u.Seq[0] || u.SetSeq[1] && f.Seq[1] != u.Seq[1] {
			want.seq = k.seq
			k.entry, k.quiet = want, false
			s.conn.CarryHere()
			k.update(s) // what was stored for it is not so
			return
		}
		k.proved = true
	}
	if !k.labels {
		want.state, want.flight = k.state, k.flight
	}
	k.entry = want
}

// refused takes note that an update was not made: the next is to have all in it. With the offsets, if they
// were in it, the kernel is trusted no more.
func (k *kept) refused(s *session, offsets bool) {
	k.quiet, k.unsaved = false, true
	if offsets {
		s.conn.CarryHere()
	}
}

const (
	// verifyEvery bounds how often the kernel is asked for the entry of a session whose packets look strange,
	// and is how long a session may have been silent before it is asked all the same: no switch to another
	// gateway and back is faster.
	verifyEvery = 50 * time.Millisecond
	// aloneFor is how long it may have been silent where the kernel would have told of another gateway.
	aloneFor = time.Second
)

// trusts tells whether what we remember of the session s is right, as far as the packet at hand and the
// kernel's entry tell.
func (k *kept) trusts(s *session, dir rewrite.Dir, p *rewrite.Packet) bool {
	strange := s.conn.Strange(dir, p)
	switch {
	case s.shared && s.conn.Unsent(dir, p):
		return false // another program let pass what we did not see
	case s.suspect, strange, s.gateway.began.at(s.gateway.now).since(s.lastSeen) >= s.gateway.believes():
		// What another program did while we had no packet need not look strange: it may have edited
		// anew what we had in flight.
		if !s.suspect && s.gateway.began.at(s.gateway.now).since(s.checked) < verifyEvery {
			return true
		}
		known := k.verify(s)
		s.suspect = false // with this packet the entry is written anew
		return known
	}
	s.shared = s.shared && len(p.Payload()) == 0
	return true
}

// verify tells whether the kernel's entry is what we wrote last. If it is not then another program had
// the session meanwhile, and what we remember of it is worth nothing.
func (k *kept) verify(s *session) bool {
	g := s.gateway
	s.checked = g.began.at(g.now)
	f, err := g.kernel.Flow(s.original())
	if s.gone = errors.Is(err, conntrack.ErrNotFound); s.gone {
		g.Stats.Vanished.Add(1)
		return false
	}
	if err != nil {
		return true // it is told of where the kernel is asked for what is needed
	}
	// What replicates entries puts another one in the place of the old.
	same := f.ID == s.home.id && f.Tuple[0] == s.original() && f.Tuple[1] == s.reply()
	s.home.found(s, f.ID)
	if s.conn.Carrier() == rewrite.Kernel {
		same = same && f.Seq == k.seq
	}
	if k.wiped(f.State) {
		// No program of ours writes that: somebody else wiped the label. It is written anew.
		if !k.unsaved {
			g.Stats.Wiped.Add(1)
		}
		k.unsaved, k.quiet = true, false
	} else if k.labels {
		same = same && f.State == k.state && f.Flight == k.flight
	}
	switch {
	case same:
		return true
	case k.echoes(s, &f):
		g.Stats.Echoed.Add(1)
		k.entry, k.quiet, s.suspect = entry{f.State, f.Seq, f.Flight}, false, true
		return true
	}
	g.Stats.Stale.Add(1)
	return false
}

// echoes tells whether an entry that is not what we wrote last is what we wrote earlier: what replicates
// entries brings it back from the other gateway, if anything of its copy changes there. It has our turn, for
// whoever else takes the session counts on before its first packet leaves.
func (k *kept) echoes(s *session, f *conntrack.Flow) bool {
	return k.labels && s.conn.Carrier() == rewrite.Kernel && f.HasSeq &&
		f.State&conntrack.StateControl != 0 && f.State&conntrack.StateTurn == k.turn &&
		f.Tuple[0] == s.original() && f.Tuple[1] == s.reply()
}
