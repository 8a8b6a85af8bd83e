package alg

import (
	"net/netip"
	"time"

	"github.com/ftpalg/ftpalg/alg/fate"
)

// Session is a control connection as it is at one time. What strangers sent is as they sent it: User,
// Command and File may be any bytes.
type Session struct {
	Client, Dialled, Server netip.AddrPort // Dialled: the server as the client knows it
	Zone                    uint16         // conntrack zone
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
	fate.Fate
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

// rowOf describes a session.
func rowOf(s *session, now time.Time) Session {
	e := s.dialogue.Endpoints()
	r := Session{
		Client: e.Client, Dialled: e.Dialled, Server: e.Server, Zone: s.zone.ID, State: s.state(),
		User: s.words.user(), Command: text(&s.words.last),
		Since: s.gateway.began.time(s.since), Seen: s.gateway.began.time(s.lastSeen),
	}
	for d := range r.Offset {
		r.Offset[d] = s.kept.seq[d].Before
	}
	if s.last != nil {
		r.Data = dataOf(s.last, &s.gateway.Fates, now)
		if w := s.words.transfer(); w != nil {
			r.Data.Command, r.Data.File, r.Data.Code = text(&w.verb), string(w.file), int(w.code)
		}
	}
	return r
}

// dataOf describes a data connection. Of one that is there the kernel is asked for what has passed.
func dataOf(f *fate.Story, book *fate.Book, now time.Time) *Data {
	d := &Data{Ended: f.Ended(), Open: f.Waits(), Flowing: f.Flows()}
	if d.Flowing {
		book.Count(f)
	}
	switch d.Fate = f.Fate; {
	case d.Flowing:
		d.Lasted = now.Sub(f.Opened) - f.Waited
	case d.Open:
		d.Waited, d.Left = now.Sub(f.Opened), f.Left(now)
	}
	return d
}
