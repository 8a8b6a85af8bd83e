package alg

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
)

// adopter is a connection tracker whose one entry can be replaced.
type adopter struct {
	*fakeKernel
	adopted int
	wrote   conntrack.State // into the new label
	refuses error
}

func (k *adopter) Adopt(_ conntrack.Tuple, u conntrack.Update) (conntrack.Flow, error) {
	k.adopted++
	k.wrote = u.State
	f := &k.flow
	f.ID++ // also if the old one is put back
	if k.refuses != nil {
		return conntrack.Flow{}, k.refuses
	}
	f.Helper, f.HasSeq, f.HasState, f.State, f.Flight = conntrack.HelperCarrier, true, true, u.State, u.Flight
	return *f, nil
}

// older is a talk in whose middle the gateway begins: the entry has nothing of what the rules give.
func older(t *testing.T, f conntrack.Flow, p policy.Policy) (*talk, *adopter) {
	f.Helper, f.HasState, f.HasSeq, f.State = "", false, false, 0
	d := newTalk(t, f, p)
	k := &adopter{fakeKernel: d.k}
	d.g = New(k, p)
	d.listen()
	d.c("NOOP\r\n")
	d.s("200 ok\r\n")
	return d, k
}

func trusting() policy.Policy {
	p := policy.Default()
	p.TrustRunning = true
	return p
}

func TestSessionOlderThanTheRulesIsAdoptedAtItsFirstDoor(t *testing.T) {
	for _, c := range []struct {
		name              string
		flow              conntrack.Flow
		ask, answer       []string // the segments of the command, and of its reply
		asArrives, opens  string
		offsets           [2]int32
		another, toAnswer string
	}{
		{"PORT", snatFlow(), []string{"PORT 10,0,13,222,39,136\r\n"}, nil,
			"PORT 203,0,113,77,39,136\r\n", "10.0.1.66>203.0.113.77:10120=10.0.13.222:10120", [2]int32{1, 0},
			"PORT 10,0,13,222,39,137\r\n", "PORT 203,0,113,77,39,137\r\n"},
		{"PORT in pieces", snatFlow(), []string{"PO", "RT 10,0,13", ",222,39,136", "\r\n"}, nil,
			"PORT 203,0,113,77,39,136\r\n", "10.0.1.66>203.0.113.77:10120=10.0.13.222:10120", [2]int32{1, 0},
			"PORT 10,0,13,222,39,137\r\n", "PORT 203,0,113,77,39,137\r\n"},
		{"EPRT", natFlow(client6, server6, server6, outside6), []string{"EPRT |2|2001:db8:1::222|10120|\r\n"},
			nil, "EPRT |2|2001:db8:ff::7|10120|\r\n",
			"2001:db8:2::66>[2001:db8:ff::7]:10120=[2001:db8:1::222]:10120", [2]int32{-1, 0},
			"EPRT |2|2001:db8:1::222|10121|\r\n", "EPRT |2|2001:db8:ff::7|10121|\r\n"},
		{"227", dnatFlow(), []string{"PASV\r\n"}, []string{"227 x (10,0,1,66,39,136)\r\n"},
			"227 x (198,51,100,1,39,136)\r\n", "10.0.13.222>198.51.100.1:10120=10.0.1.66:10120",
			[2]int32{0, 3}, "", ""},
		{"229 in pieces", dnatFlow(), []string{"EPSV\r\n"}, []string{"22", "9 x (|||10", "120|)\r", "\n"},
			"229 x (|||10120|)\r\n", "10.0.13.222>198.51.100.1:10120=10.0.1.66:10120", [2]int32{}, "", ""},
		{"no NAT", firewallFlow(), []string{"PORT 10,0,13,222,39,136\r\n"}, nil,
			"PORT 10,0,13,222,39,136\r\n", "10.0.1.66>10.0.13.222:10120=10.0.13.222:10120",
			[2]int32{}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, k := older(t, c.flow, trusting())
			if k.adopted != 0 {
				t.Error("the entry was replaced before anything was asked for")
			}
			dir := toServer
			say := func(dir conntrack.Dir, segments []string) (got string) {
				for _, s := range segments {
					got += d.send(dir, s)
				}
				return got
			}
			got := say(dir, c.ask)
			if c.answer != nil {
				dir = toClient
				got = say(dir, c.answer)
			}
			d.wantArrived("the address", got, c.asArrives)
			d.wantOpen(c.opens)
			d.s("200 ok\r\n")
			d.c("NOOP\r\n")
			d.s("200 ok\r\n")
			for i, want := range c.offsets {
				if got := d.k.flow.Seq[i].After; got != want {
					t.Errorf("direction %d: the kernel's offset is %d, want %d", i, got, want)
				}
			}
			if k.wrote&conntrack.State(dialogue.LoggedIn) == 0 || k.wrote&conntrack.StateTurn == 0 {
				t.Errorf("the new label says %b", k.wrote)
			}
			if n := d.g.Stats.Adopted.Load(); n != 1 || k.adopted != 1 {
				t.Errorf("replaced %d times, counted %d", k.adopted, n)
			}
			if c.another == "" {
				return
			}
			// What is in the new entry outlives the program.
			d.g.SetPolicy(policy.Default())
			d.restart()
			d.wantArrived("the next address", d.c(c.another), c.toAnswer)
		})
	}
}

func TestEntryIsReplacedForADoorAlone(t *testing.T) {
	const port = "PORT 10,0,13,222,39,136\r\n"
	refusing := trusting()
	refusing.Adopt = false
	for _, c := range []struct {
		name   string
		policy policy.Policy
		before []string
		why    policy.Reason
		after  bool // it is when this is over
	}{
		{"adopt: false", refusing, nil, policy.NoHelper, false},
		{"the login was not seen", policy.Default(), nil, policy.LoginUnseen, false},
		{"another command waits", trusting(), []string{"c>NOOP\r\n"}, policy.NoHelper, true},
	} {
		for _, pieces := range [][]string{{port}, {port[:9], port[9:]}} {
			d, k := older(t, snatFlow(), c.policy)
			d.segments(c.before...)
			got := ""
			for _, s := range pieces {
				got += d.c(s)
			}
			d.wantArrived(c.name, got, "PORT xxxxxxxxxxxxxxxxxx\r\n")
			d.wantOpen()
			if k.adopted != 0 || len(d.refuse) != 1 || d.refuse[0] != c.why {
				t.Errorf("%s, in %d pieces: replaced %d times, refused because of %v, want %v",
					c.name, len(pieces), k.adopted, d.refuse, c.why)
			}
			d.s("200 ok\r\n")
			d.s("500 what\r\n")
			if d.c(port); (len(d.k.expects) > 0) != c.after {
				t.Errorf("%s: afterwards open is %v", c.name, d.k.expects)
			}
		}
	}
}

// A reply that its receiver has not acknowledged is on its way.
func TestEntryIsNotReplacedWhileTheOtherEndSpeaks(t *testing.T) {
	const port = "PORT 10,0,13,222,39,136\r\n"
	d, k := older(t, snatFlow(), trusting())
	d.lose(toClient, d.s("200 and more\r\n"))
	d.c(port)
	d.wantOpen()
	if k.adopted != 0 {
		t.Error("it was replaced")
	}
	d.rcv[toClient] += uint32(len("200 and more\r\n"))
	d.s("500 what\r\n")
	d.c(port)
	d.wantOpen("10.0.1.66>203.0.113.77:10120=10.0.13.222:10120")
}

func TestEntryThatCannotBeReplacedCostsTheDoorAlone(t *testing.T) {
	const port = "PORT 10,0,13,222,39,136\r\n"
	for _, c := range []struct {
		name string
		err  error
		more int // attempts at the next door
	}{{"busy", conntrack.ErrBusy, 1}, {"refused", errors.New("no"), 0}} {
		d, k := older(t, snatFlow(), trusting())
		failed := 0
		d.g.OnKernelError = func(string, error) { failed++ }
		k.refuses = c.err
		d.wantArrived(c.name, d.c(port), "PORT xxxxxxxxxxxxxxxxxx\r\n")
		d.s("500 what\r\n")
		d.wantArrived(c.name, d.c("NOOP\r\n"), "NOOP\r\n")
		d.s("200 ok\r\n")
		k.refuses = nil
		d.c(port)
		if k.adopted != 1+c.more || len(d.k.expects) != c.more || failed != 1-c.more {
			t.Errorf("%s: tried %d times, open is %v, %d errors", c.name, k.adopted, d.k.expects, failed)
		}
		// The entry that was put back is another one.
		d.g.Destroyed(d.k.flow.Tuple[0], 1)
		if n := d.g.Stats.Sessions.Load(); n != 1 {
			t.Errorf("%s: the end of the old entry leaves %d sessions", c.name, n)
		}
		d.k.gone = true
		d.g.Destroyed(d.k.flow.Tuple[0], d.k.flow.ID)
		if n := d.g.Stats.Sessions.Load(); n != 0 {
			t.Errorf("%s: the end of the connection leaves %d sessions", c.name, n)
		}
	}
}

// Entries that were replicated before the rules were there have all but a label, or an empty one.
func TestColdStandbyGetsTheLabel(t *testing.T) {
	for _, room := range []bool{false, true} {
		d, k := older(t, snatFlow(), trusting())
		d.k.flow.Helper, d.k.flow.HasSeq, d.k.flow.HasState = conntrack.HelperCarrier, true, room
		d.k.flow.Seq[toServer] = conntrack.SeqAdj{Pos: d.seq[toServer] - 40, Before: 12, After: 12}
		d.rcv[toServer] += 12
		d.g = New(k, d.g.policy)
		d.listen()
		told := 0
		d.g.OnAdopted = func(client, server netip.AddrPort) {
			if told++; client != clientIn || server != serverAddr {
				t.Errorf("told of %v and %v", client, server)
			}
		}
		d.wantArrived("PORT", d.c("PORT 10,0,13,222,39,136\r\n"), "PORT 203,0,113,77,39,136\r\n")
		d.s("200 ok\r\n")
		d.wantArrived("NOOP", d.c("NOOP\r\n"), "NOOP\r\n")
		d.s("200 ok\r\n")
		want := 1
		if room {
			want = 0
		}
		if f := d.k.flow; f.State&conntrack.StateControl == 0 || f.Seq[toServer].After != 13 {
			t.Errorf("room: %v, %+v", room, f)
		}
		if n := d.g.Stats.Adopted.Load(); k.adopted != want || told != want || n != uint64(want) {
			t.Errorf("room: %v, replaced %d times, told of %d, counted %d", room, k.adopted, told, n)
		}
	}
}

// The numbers of packets that came before are not moved by what is in the new entry.
func TestNoPacketOfTheOldEntryWaits(t *testing.T) {
	d, _ := older(t, snatFlow(), trusting())
	d.c("PORT 10,0,13,222,39,136\r\n")
	ahead := func() Verdict {
		at, ack := d.seq[toServer]+6, d.rcv[toClient]
		p := tcpPacket(d.k.flow.Tuple[toServer], at, ack, 0, []byte("NOOP\r\n"))
		v, _ := d.g.Handle(d.now, 99, p, false)
		return v
	}
	if v := ahead(); v != Drop {
		t.Errorf("just then a packet that is out of order: %v", v)
	}
	d.now = d.now.Add(oldEntryFor + time.Millisecond)
	if v := ahead(); v != Hold {
		t.Errorf("and later: %v", v)
	}
}
