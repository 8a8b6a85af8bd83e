package alg

import (
	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/fate"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

const (
	fromClient = rewrite.Original // the direction of commands
	fromServer = rewrite.Reply    // the direction of replies
)

// session is one control connection: its stream, its dialogue, its door, and what the kernel has of it.
type session struct {
	gateway  *Gateway
	conn     rewrite.Conn
	dialogue dialogue.Dialogue
	kept     kept
	home     home
	last     *fate.Story // the last door; nil: there was none
	client   *client

	zone    conntrack.Zone
	number  uint32 // the kernel's of the connection when it was picked up
	first   uint32 // sequence number of the server's first byte, if begun
	shown   uint32 // the last snapshot that it was in
	begun   bool   // the server's SYN/ACK was seen
	reset   uint8  // directions in which it was reset, as bits
	counted bool   // it has a place among those of its client, and may open ports
	ended   bool   // it is in the ring of the ended ones
	opened  bool   // the last door is open
	suspect bool   // its entry was written by another program, and is ours of an earlier time
	shared  bool   // another program wrote its entry, but nothing in it that we know: it may have the session
	gone    bool   // its entry was not there when the kernel was asked last

	words      words
	transfers  *pending // nil: nobody wants to know, or no command was seen
	since      moment
	checked    moment // when the kernel was asked for its entry last
	lastSeen   moment
	prev, next *session // in order of lastSeen, or of their end
}

// original is the tuple by which the kernel knows the connection.
func (s *session) original() conntrack.Tuple {
	e := s.dialogue.Endpoints()
	return conntrack.Tuple{Src: e.Client, Dst: e.Dialled, Zone: s.zone.In(conntrack.Original)}
}

// reply is the tuple of the packets of the server.
func (s *session) reply() conntrack.Tuple {
	e := s.dialogue.Endpoints()
	return conntrack.Tuple{Src: e.Server, Dst: e.Outside, Zone: s.zone.In(conntrack.Reply)}
}

// door is what is open; nil: nothing.
func (s *session) door() *fate.Story {
	if !s.opened {
		return nil
	}
	return s.last
}

// direction tells in which direction a packet with tuple t travels.
func (s *session) direction(t conntrack.Tuple) rewrite.Dir {
	if e := s.dialogue.Endpoints(); t.Src == e.Client && t.Dst == e.Dialled {
		return fromClient
	}
	return fromServer
}

func (s *session) setPolicy(p *policy.Policy) {
	s.kept.quiet = false
	s.dialogue.SetPolicy(p)
}

func (s *session) policy() *policy.Policy { return s.dialogue.Policy() }

// doubt has the streams and the dialogue go on with what the kernel keeps, as after a restart: packets may
// have gone by in either direction. Offsets that only we know cannot be doubted, nor that it ended.
func (s *session) doubt() {
	if s.ended || s.conn.Carrier() == rewrite.Program {
		return
	}
	g, memory := s.gateway, s.dialogue.Memory()
	g.released.leave(s, &g.room)
	k := s.kept.pickUp(s.home.id)
	k.Bypassed, k.Untouched, s.kept.quiet = true, false, false
	for d := range k.Reached {
		k.Reached[d] = s.conn.Reached(rewrite.Dir(d))
	}
	s.conn = rewrite.Conn{}
	s.conn.PickUp(k, rewrite.Kernel, !s.kept.labels)
	s.dialogue = dialogue.New(s.dialogue.Endpoints(), s.policy(), memory, false)
}

// exists tells whether the kernel has an entry of the connection, or of another with the same ports.
func (s *session) exists() bool {
	f, err := s.gateway.kernel.Flow(s.original())
	return err == nil && f.Tuple[conntrack.Original] == s.original()
}

// counts tells whether what is remembered counts although another program wrote the entry, where that is as
// we left it: see Gateway.Changed.
func (s *session) counts() bool {
	g, k := s.gateway, &s.kept
	recent := g.began.at(g.now).since(s.lastSeen) < verifyEvery
	known := !s.conn.Unsure(fromClient) && !s.conn.Unsure(fromServer)
	return k.unsaved || k.flight[0].End != 0 || k.flight[1].End != 0 || recent && known
}

// confirm has the receiver asked where something may be edited of which it may yet get what went by unseen.
func (s *session) confirm(dir rewrite.Dir, p *rewrite.Packet) {
	if s.conn.Hearsay(dir) {
		s.conn.Confirm(dir, s.dialogue.Edits(dialogue.Side(dir), p.Payload()))
	}
}

func whyAsked(a *rewrite.Arrival) policy.Reason {
	switch {
	case a.Fate == rewrite.Full:
		return policy.HistoryFull
	case a.Late:
		return policy.HoldExpired
	}
	return policy.OutOfOrder
}

// read passes what is new in a packet to the dialogue, and the edits to the stream.
func (s *session) read(dir rewrite.Dir, a *rewrite.Arrival) {
	g, side := s.gateway, dialogue.Side(dir)
	if a.Missed {
		g.Stats.Untouched[policy.MissedSegments].Add(1)
	}
	if len(a.Plain)+len(a.New) > 0 {
		g.revive(s, dir)
		switch a.Joint {
		case rewrite.Resumed:
			s.dialogue.Resume(side, s.kept.state&midLine[dir] == 0)
		case rewrite.Begun:
			s.dialogue.Resume(side, true)
		case rewrite.Torn:
			s.dialogue.Lost(side)
		}
	}
	if len(a.Plain) > 0 {
		s.dialogue.Skip(side, a.Plain)
	}
	if len(a.New) > 0 {
		s.dialogue.Read(side, a.New, s, &g.Stats.Counts, &g.draft)
		s.conn.Take(dir, a.New, g.draft.Edits)
		s.conn.Undecided(dir, s.dialogue.Undecided(side))
		s.stand()
	}
	if a.End && dir == fromServer {
		g.end(s) // a client may only say that it has no more commands, and wait for its last transfer
	}
}

// stand counts the session against the limits of its client if that has answered the greeting,
// for anybody can have sessions in which it has not, and if there is room.
func (s *session) stand() {
	if s.counted || s.dialogue.Over() || !s.dialogue.Answered() {
		return
	}
	s.counted = s.gateway.clients.admit(s.client, s.policy().Limits.PerClient.Sessions)
}

// stepDown gives back the session's place among those of its client.
func (s *session) stepDown() {
	if s.counted {
		s.gateway.clients.stepDown(s.client)
	}
	s.counted = false
}

// state tells how far the dialogue has come.
func (s *session) state() SessionState {
	m := s.dialogue.Memory()
	switch {
	case s.dialogue.NotFTP():
		return NotFTP
	case s.dialogue.Opaque():
		return TLS
	case s.dialogue.Over():
		return Over
	case m&dialogue.LoggedIn != 0:
		return Clear
	case m&dialogue.Greeted != 0:
		return Login
	}
	return Greeting
}
