package inspect

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/rewrite"
)

// replay is a gateway that is fed from a capture.
type replay struct {
	gateway *alg.Gateway
	flows   flows
	packet  rewrite.Packet
	report  Report

	number int   // of the frame that is being handled
	flow   *flow // to which it belongs
	ticked time.Time
}

// Replay runs the packets of a capture through a gateway with this policy. Control
// connections are those to the ports. A capture that ends in the middle of a
// frame gives both a report and an error.
func Replay(r io.Reader, ports []uint16, p alg.Policy) (Report, error) {
	c, err := openCapture(r)
	if err != nil {
		return Report{}, err
	}
	re := &replay{flows: flows{ports: ports, byTuple: map[conntrack.Tuple]*flow{}}}
	re.gateway = alg.New(&re.flows, p)
	re.gateway.OnOpened = re.opened
	re.gateway.OnRefused = re.refused
	for {
		f, err := c.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return re.report, fmt.Errorf("the report ends early: %w", err)
		}
		re.frame(f)
	}
	// What still waits for a lost predecessor goes on without it, a session at a time.
	for range re.report.Controls {
		re.tick(re.ticked.Add(time.Minute))
	}
	return re.report, nil
}

func (re *replay) frame(f frame) {
	re.report.Frames++
	if f.time.Sub(re.ticked) >= time.Second {
		re.tick(f.time) // before the frame is looked at: it lets go packets of other connections
	}
	if !known(f.link) {
		re.report.UnknownLink++
		return
	}
	ip := ipPacket(f.link, f.data)
	if !re.packet.Parse(ip) {
		re.report.NotTCP++
		return
	}
	re.flow = re.flows.learn(&re.packet, f.number)
	if re.flow == nil {
		return
	}
	if re.flow.control.Last == 0 {
		re.report.Controls = append(re.report.Controls, re.flow.control)
	}
	re.flow.control.Last = f.number
	re.handle(f.time, f.number, ip)
	re.release(f.time)
}

// tick does what the program does about every second.
func (re *replay) tick(now time.Time) {
	re.ticked = now
	re.gateway.Tick(now)
	re.release(now)
}

// release handles the packets that were held back and can go on now.
func (re *replay) release(now time.Time) {
	for h, ok := re.gateway.Next(); ok; h, ok = re.gateway.Next() {
		if !h.Drop && re.packet.Parse(h.Data) {
			re.flow = re.flows.byTuple[conntrack.Tuple{Src: re.packet.Src(), Dst: re.packet.Dst()}]
			re.handle(now, int(h.ID), h.Data)
		}
	}
}

func (re *replay) handle(now time.Time, number int, ip []byte) {
	re.number = number
	opaque := re.gateway.Stats.Opaque.Load()
	re.gateway.Handle(now, uint32(number), ip, false)
	c := re.flow.control
	c.NotFTP = re.flow.State&conntrack.StateNotFTP != 0
	c.TLS = c.TLS || !c.NotFTP && re.gateway.Stats.Opaque.Load() > opaque
}

func (re *replay) opened(d alg.DataChannel) {
	c := re.flow.control
	c.Channels = append(c.Channels, Channel{Frame: re.number, Mode: d.Mode, For: d.For, Addr: d.Target})
}

func (re *replay) refused(r alg.Refusal) {
	c := re.flow.control
	c.Refusals = append(c.Refusals, Refusal{Frame: re.number, Reason: r.Reason, Line: string(r.Line)})
}
