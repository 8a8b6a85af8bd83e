package alg

import (
	"bytes"
	"net/netip"
	"strconv"
	"time"

	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/fate"
	"github.com/ftpalg/ftpalg/alg/ftp"
	"github.com/ftpalg/ftpalg/alg/policy"
)

// Transfer tells of a transfer when nothing more will become known of it. What strangers sent is as they
// sent it, cut at 512 bytes, and kept as far as Names says: the text of replies only with both, for servers
// put names in it.
type Transfer struct {
	Session                 uint32         // the kernel's number of the control connection
	Client, Dialled, Server netip.AddrPort // of it; Dialled: the server as the client knows it
	Zone                    uint16         // conntrack zone
	Began                   time.Time      // when the command was sent
	Took                    time.Duration  // until the final reply, or the end of what was waited for
	User                    string
	Command                 string // in upper case
	Argument                string
	Directory               string        // working directory, where replies told it
	Refused                 policy.Reason // why the command was kept from the server; None: it was not
	Code                    int           // of the final reply; 0: none was seen
	Text                    string        // of that reply
	Data                    *Data         // nil: no data connection was asked for before

	story *fate.Story
	ended time.Time
}

const (
	maxKept      = 512              // bytes kept of an argument, a directory and a text
	maxPipelined = 16               // transfers of one session that wait for their reply
	maxLogged    = 16384            // transfers of all of them that wait for anything
	dataTime     = 30 * time.Second // how long the end of a data connection is waited for after the reply
)

// transferBook has the transfers of all sessions that have not been told of.
type transferBook struct {
	n    int         // how many there are
	done []*Transfer // what is not known of them is what came of their data connection
}

// pending is what is kept of a session's transfers for Gateway.OnTransfer.
type pending struct {
	open  []*Transfer // in the order of their commands; their replies come so
	over  int         // how many came behind them and are not kept
	fresh bool        // the command at hand is the last of them
	took  *fate.Story // the data connection of the last
	where whereabouts
}

// command begins a transfer, if the command is one.
func (b *transferBook) command(s *session, n *dialogue.Notice) {
	g := s.gateway
	if g.OnTransfer == nil {
		return
	}
	if s.transfers == nil {
		s.transfers = &pending{}
	}
	p := s.transfers
	if p.fresh = false; g.Names.Files {
		p.where.command(n)
	}
	switch {
	case n.Verb != ftp.Transfer:
		return
	case p.over > 0 || len(p.open) == maxPipelined || b.n == maxLogged:
		p.over++
		g.Stats.Unlogged.Add(1)
		return
	}
	e := s.dialogue.Endpoints()
	t := &Transfer{
		Session: s.number, Client: e.Client, Dialled: e.Dialled, Server: e.Server, Zone: s.zone.ID,
		Began: g.now, User: s.words.user(), Command: text(&s.words.last), Directory: p.where.dir,
	}
	if g.Names.Files {
		t.Argument = cut(n.Arg)
	}
	p.open, p.fresh = append(p.open, t), true
	b.n++
	joinData(s, t)
}

// joinData finds the data connection of a transfer: the last that no earlier one had.
func joinData(s *session, t *Transfer) {
	if t.story == nil && s.last != s.transfers.took {
		t.story, s.transfers.took = s.last, s.last
	}
}

// refused ends the transfer whose command is refused just now.
func (b *transferBook) refused(s *session, why policy.Reason) {
	p := s.transfers
	if p == nil {
		return
	}
	p.where.awaits = noReply
	if !p.fresh {
		return
	}
	p.fresh = false
	last := len(p.open) - 1
	t := p.open[last]
	p.open, t.Refused = p.open[:last], why
	b.end(t, s.gateway.now)
}

// reply takes note of a reply.
func (b *transferBook) reply(s *session, n *dialogue.Notice) {
	p, g := s.transfers, s.gateway
	if p == nil {
		return
	}
	if n.Code >= 200 {
		p.where.reply(n)
	}
	switch {
	case n.Verb != ftp.Transfer:
		return
	case len(p.open) == 0:
		if n.Code >= 200 && p.over > 0 {
			p.over--
		}
		return
	}
	t := p.open[0]
	if joinData(s, t); n.Code < 200 {
		return
	}
	t.Code = n.Code
	if g.Names.Users && g.Names.Files {
		t.Text = cut(textOf(n))
	}
	p.open = p.open[:copy(p.open, p.open[1:])]
	b.end(t, g.now)
}

// endOf ends all of a session that will see no reply.
func (b *transferBook) endOf(s *session) {
	p := s.transfers
	if p == nil {
		return
	}
	for _, t := range p.open {
		b.end(t, s.gateway.now)
	}
	p.open, p.over, p.fresh = nil, 0, false
}

func (b *transferBook) end(t *Transfer, now time.Time) {
	t.Took, t.ended = now.Sub(t.Began), now
	b.done = append(b.done, t)
}

// tell tells of the transfers of which everything is known or has been waited for long enough.
func (b *transferBook) tell(g *Gateway, now time.Time) {
	rest := b.done[:0]
	for _, t := range b.done {
		if t.story != nil && !t.story.Ended() && now.Sub(t.ended) < dataTime {
			rest = append(rest, t)
			continue
		}
		b.tellOne(g, t, now)
	}
	clear(b.done[len(rest):])
	b.done = rest
}

func (b *transferBook) tellOne(g *Gateway, t *Transfer, now time.Time) {
	b.n--
	if t.story != nil {
		t.Data, t.story = dataOf(t.story, &g.Fates, now), nil
	}
	g.OnTransfer(t)
}

// tellAll tells of all transfers what is known now.
func (b *transferBook) tellAll(g *Gateway, now time.Time) {
	for s := range g.table.all() {
		b.endOf(s)
	}
	for _, t := range b.done {
		b.tellOne(g, t, now)
	}
	b.done = nil
}

// textOf is what follows the code of a reply.
func textOf(n *dialogue.Notice) []byte {
	var code [3]byte
	if at := bytes.Index(n.Line, strconv.AppendInt(code[:0], int64(n.Code), 10)); at >= 0 {
		return bytes.TrimSpace(n.Line[min(at+len(code)+1, len(n.Line)):])
	}
	return nil
}

func cut(b []byte) string { return string(b[:min(len(b), maxKept)]) }
