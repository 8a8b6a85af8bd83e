package rewrite

import (
	"testing"
	"time"
)

// A receiver that is told of a window beyond 64 KB may lack what lies 64 KB before a packet that is late: the
// byte of a probe there would be data.
func TestProbeLiesBeforeAllThatIsNotAcknowledged(t *testing.T) {
	var c Conn
	room := Room{MaxPackets: 100, MaxBytes: 1 << 20}
	now := time.Unix(1e9, 0)
	c.PickUp(Kept{}, Kernel, false)
	c.Begin(5000, 1000)
	var first, last Packet
	first.Parse(segment(false, 5000, 1000, make([]byte, 1000), nil))
	if a := c.Receive(Original, &first, &room); a.Fate != Go || len(a.New) != 1000 {
		t.Fatalf("the first packet is to %+v", a)
	}
	c.Take(Original, first.Payload(), nil)
	last.Parse(segment(false, 5100+probeBack, 1000, []byte("a"), nil))
	if a := c.Receive(Original, &last, &room); a.Fate != Wait {
		t.Fatalf("the last packet is to %+v", a)
	}
	c.Hold(now, &last, Waiting{ID: 1, Dir: Original}, &room)
	c.Expire(now.Add(holdTime))
	if a := c.Receive(Original, &last, &room); a.Fate != Ask {
		t.Fatalf("the late packet is to %+v", a)
	}
	var p Packet
	p.Parse(c.Probe(nil, Original, &last))
	if !before(p.Seq(), 5000) {
		t.Errorf("the probe has number %d, but from 5000 on nothing is acknowledged", p.Seq())
	}
}

// The sender waits for what the receiver sends, but takes nothing that acknowledges more than it ever sent.
func TestOffsetFollowsFromWhatASenderDenies(t *testing.T) {
	var c Conn
	room := Room{MaxPackets: 100, MaxBytes: 1 << 20}
	c.PickUp(Kept{}, Kernel, false)
	var reply, denial Packet
	reply.Parse(segment(false, 1000, 5004, []byte("200 ok\r\n"), nil))
	denial.Parse(segment(false, 5000, 1000, nil, nil))
	for i := range maxDenials + 1 {
		if c.Receive(Reply, &reply, &room); c.Keep().Carried[Original] != 0 {
			t.Fatalf("the offset is another after %d times", i)
		}
		c.Receive(Original, &denial, &room)
		c.Receive(Original, &denial, &room) // answers nothing
		if c.Keep().Carried[Original] == 4 {
			return
		}
	}
	t.Errorf("kept is %+v", c.Keep())
}

// All that the sender repeats is its end.
func TestEndArrivesThoughTheOffsetInFrontOfItWasLost(t *testing.T) {
	var c Conn
	room := Room{MaxPackets: 100, MaxBytes: 1 << 20}
	c.PickUp(Kept{}, Kernel, false)
	var fin, ack, reply Packet
	raw := segment(false, 5000, 1000, nil, nil)
	raw[33] |= FIN
	fin.Parse(raw)
	ack.Parse(segment(false, 5001, 1000, nil, nil))
	reply.Parse(segment(false, 1000, 5004, nil, nil)) // four bytes more than there are in our numbers
	for range 1 + sureStrays {
		c.Receive(Original, &fin, &room)
		c.Receive(Reply, &reply, &room)
		c.Receive(Original, &ack, &room)
	}
	if a := c.Receive(Original, &fin, &room); !a.End || c.Keep().Carried[Original] != 4 {
		t.Errorf("the end brings %+v, kept is %+v", a, c.Keep())
	}
}

// A gateway that edited a line dies before that is replicated: the next one counts from the offset before it.
func TestOffsetFollowsFromWhatASenderRepeatsInVain(t *testing.T) {
	for _, told := range []bool{false, true} { // by an acknowledgement, where the sender ends
		var c Conn
		room := Room{MaxPackets: 100, MaxBytes: 1 << 20}
		c.PickUp(Kept{}, Kernel, false)
		const line, grown = "PORT 10,0,13,66,39,18\r\n", 4
		var command, reply, ack Packet
		end := uint32(5000 + len(line))
		command.Parse(segment(false, 5000, 1000, []byte(line), nil))
		ack.Parse(segment(false, end, 1000, nil, nil))
		reply.Parse(segment(false, 1000, end+grown, nil, nil))
		repeats := 1
		for ; repeats < 10; repeats++ {
			c.Receive(Original, &command, &room)
			c.Receive(Reply, &reply, &room)
			if told {
				c.Receive(Original, &ack, &room)
			}
			if c.Keep().Carried[Original] == grown {
				break
			}
		}
		if want := map[bool]int{false: 1 + maxStrays, true: 1 + sureStrays}[told]; repeats != want {
			t.Errorf("end told: %v: the offset is right after %d repetitions, want %d", told, repeats, want)
		}
	}
}

// What it repeats may be the first of more, which was seen when it came too early.
func TestOffsetCountsFromTheEndOfAllThatTheSenderWasSeenToSend(t *testing.T) {
	var c Conn
	room := Room{MaxPackets: 100, MaxBytes: 1 << 20}
	c.PickUp(Kept{}, Kernel, false)
	const line, grown = "PORT 10,0,13,66,39,18\r\n", 4
	var first, all, reply Packet
	end := uint32(5000 + 2*len(line))
	first.Parse(segment(false, 5000, 1000, []byte(line), nil))
	all.Parse(segment(false, 5000, 1000, []byte(line+line), nil))
	reply.Parse(segment(false, 1000, end+grown, nil, nil))
	c.Receive(Original, &all, &room)
	for range 1 + maxStrays {
		c.Receive(Reply, &reply, &room)
		c.Receive(Original, &first, &room)
		c.Receive(Original, &first, &room) // it cannot have heard anything since
	}
	if k := c.Keep(); k.Carried[Original] != grown {
		t.Errorf("the offset is %d, want %d", k.Carried[Original], grown)
	}
	if c.Pending(Original) != Begun {
		t.Error("it is not known that a line begins there")
	}
}

// Where acknowledgements of their own pass unseen those that come with data are all that is heard.
func TestOffsetFollowsFromWhatASenderRepeatsInVainThoughAcknowledgementsPassUnseen(t *testing.T) {
	var c Conn
	room := Room{MaxPackets: 100, MaxBytes: 1 << 20}
	c.PickUp(Kept{}, Kernel, true)
	const line, grown = "PORT 10,0,13,66,39,18\r\n", 4
	var command, reply Packet
	end := uint32(5000 + len(line))
	command.Parse(segment(false, 5000, 1000, []byte(line), nil))
	reply.Parse(segment(false, 1000, end+grown, []byte("200 ok\r\n"), nil))
	c.Receive(Reply, &reply, &room)
	for range maxStrays {
		c.Receive(Original, &command, &room)
	}
	if k := c.Keep(); k.Carried[Original] != grown {
		t.Errorf("the offset is %d, want %d", k.Carried[Original], grown)
	}
}
