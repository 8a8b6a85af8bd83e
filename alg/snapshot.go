package alg

import (
	"net/netip"
	"time"

	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/conntrack"
)

// Session is a control connection as it is at one time. What strangers sent is as they sent it: User,
// Command and File may be any bytes.
type Session struct {
	Client, Dialled, Server netip.AddrPort // Dialled: the server as the client knows it
	State                   SessionState
	User                    string   // if Names says so
	Command                 string   // the last one, in upper case, 8 bytes at most
	Offset                  [2]int32 // bytes that the kernel adds, from the client and from the server
	Since, Seen             time.Time
	Data                    *Data // the last data connection; nil: none was asked for
}

// SessionState is how far a dialogue has come.
type SessionState uint8

const (
	Greeting SessionState = iota // the server has not greeted
	Login                        // the client is not logged in
	Clear                        // logged in, in clear text
	TLS                          // nothing can be read any more
	NotFTP                       // another protocol
	Over                         // the server said goodbye
)

// SessionStates are the labels of the states.
var SessionStates = [...]string{"greeting", "login", "clear", "tls", "not_ftp", "over"}

func (s SessionState) String() string { return SessionStates[s] }

// Data is a data connection, or the door that waits for it.
type Data struct {
	Fate
	Open, Flowing, Ended bool          // it waits, it is there, or it is known what came of it
	Left                 time.Duration // until the door closes, if it is open
	Command, File        string        // of the transfer; File if Names says so
	Code                 int           // the server's last reply to it
}

// picture is a snapshot under way.
type picture struct {
	serial uint32   // of the snapshot; the sessions that are in it bear it
	next   *session // nil: none is under way
}

// Snapshot appends to rows at most so many sessions, in the order in which they were last seen, and
// tells whether that were all. The next call goes on with others, or begins anew after done. Sessions
// may come and go between calls; each is there once.
func (g *Gateway) Snapshot(now time.Time, rows []Session, most int) (all []Session, done bool) {
	t := &g.table
	p := &t.picture
	if p.next == nil {
		p.serial++
		p.next = t.live.next
	}
	for ; most > 0 && p.next != &t.live; most-- {
		s := p.next
		p.next = s.next
		if s.shown != p.serial {
			s.shown = p.serial
			rows = append(rows, g.row(s, now))
		}
	}
	if done = p.next == &t.live; done {
		p.next = nil
	}
	return rows, done
}

// row describes a session.
func (g *Gateway) row(s *session, now time.Time) Session {
	e := s.dialogue.Endpoints()
	r := Session{
		Client: e.Client, Dialled: e.Dialled, Server: e.Server, State: s.state(),
		User: s.user(), Command: text(&s.command), Since: s.since, Seen: s.lastSeen,
	}
	for d := range r.Offset {
		r.Offset[d] = s.kept.seq[d].After
	}
	if f := s.story; f != nil {
		r.Data = g.dataOf(f, now)
		if w := s.said; w != nil {
			r.Data.Command, r.Data.File, r.Data.Code = text(&w.verb), string(w.file), int(w.code)
		}
	}
	return r
}

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

// dataOf describes a data connection. Of one that is there the kernel is asked for what has passed.
func (g *Gateway) dataOf(f *story, now time.Time) *Data {
	d := &Data{Fate: f.Fate, Ended: f.ended}
	switch {
	case f.ended:
	case !f.came.IsZero():
		d.Flowing, d.Lasted = true, now.Sub(f.came)
		var e conntrack.Entry
		if g.Entry != nil && g.Entry(f.data, &e) == nil {
			f.count(&e)
			d.Counted, d.FromClient, d.FromServer = f.Counted, f.FromClient, f.FromServer
		}
	case f.shutAt.IsZero():
		d.Open, d.Waited = true, now.Sub(f.Opened)
		d.Left = max(0, f.timeout-d.Waited)
	}
	return d
}
