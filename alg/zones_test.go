package alg

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/alg/fate"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
)

// kernels is a connection tracker with several flows.
type kernels []*fakeKernel

func (ks kernels) Flow(t conntrack.Tuple) (conntrack.Flow, error) {
	for _, k := range ks {
		if f, err := k.Flow(t); err == nil {
			return f, nil
		}
	}
	return conntrack.Flow{}, conntrack.ErrNotFound
}

func (ks kernels) of(original conntrack.Tuple) *fakeKernel {
	for _, k := range ks {
		if k.flow.Tuple[0] == original {
			return k
		}
	}
	return &fakeKernel{}
}

func (ks kernels) Update(original conntrack.Tuple, u conntrack.Update) error {
	return ks.of(original).Update(original, u)
}
func (ks kernels) Expect(e *conntrack.Expectation) error  { return ks.of(e.Master).Expect(e) }
func (ks kernels) Withdraw(e conntrack.Expectation) error { return ks.of(e.Master).Withdraw(e) }

// inZone puts a flow into a zone.
func inZone(f conntrack.Flow, z conntrack.Zone) conntrack.Flow {
	f.ID += uint32(z.ID)
	f.Zone = z
	for d := range f.Tuple {
		f.Tuple[d].Zone = z.In(conntrack.Dir(d))
	}
	return f
}

// newTalks has one gateway follow several flows.
func newTalks(t *testing.T, search []uint16, flows ...conntrack.Flow) (all []*talk) {
	var ks kernels
	for _, f := range flows {
		ks = append(ks, &fakeKernel{flow: f, taken: map[uint16]bool{}})
	}
	g := New(&ks, policy.Default())
	g.SearchZones(search)
	for i, k := range ks {
		d := &talk{t: t, g: g, k: k, now: time.Unix(1e9, 0), id: uint32(1000 * i)}
		d.seq = [2]uint32{uint32(100000 * (i + 1)), uint32(500000 * (i + 1))}
		d.rcv = d.seq
		all = append(all, d)
	}
	g.OnKernelError = func(doing string, err error) { t.Errorf("%s: %v", doing, err) }
	return all
}

// begin takes a talk to where ports may be opened.
func (d *talk) begin() {
	d.packet(toClient, d.seq[toClient]-1, 0x12, nil)
	d.login()
}

// zonedFlows are two with the same tuple where the kernel keeps apart what each kind of zone keeps apart.
func zonedFlows(dir conntrack.ZoneDir) (a, b conntrack.Flow) {
	a, b = snatFlow(), inZone(snatFlow(), conntrack.Zone{ID: 5, Dir: dir})
	switch dir {
	case conntrack.ZoneOriginal: // NAT has to give the answers another port
		b.Tuple[1].Dst = netip.AddrPortFrom(b.Tuple[1].Dst.Addr(), 40001)
	case conntrack.ZoneReply:
		b.Tuple[0].Src = netip.AddrPortFrom(b.Tuple[0].Src.Addr(), 40001)
	}
	return a, b
}

func TestConnectionsWithTheSameTupleInTwoZonesAreTwoSessions(t *testing.T) {
	for _, dir := range []conntrack.ZoneDir{conntrack.ZoneBoth, conntrack.ZoneOriginal, conntrack.ZoneReply} {
		a, b := zonedFlows(dir)
		all := newTalks(t, nil, a, b)
		for _, d := range all {
			d.begin()
		}
		for range 2 {
			for i, d := range all {
				for n := range i + 1 { // so that their offsets differ
					d.wantArrived("PORT", d.c("PORT 10,0,13,222,39,13"+string(rune('0'+n))+"\r\n"),
						"PORT 203,0,113,77,39,13"+string(rune('0'+n))+"\r\n")
					d.s("200 ok\r\n")
				}
				if n := len(d.k.expects); n != 1 || d.k.expects[0].Zone != d.k.flow.Zone ||
					d.k.expects[0].Master != d.k.flow.Tuple[0] {
					t.Errorf("zone %+v: open is %+v", d.k.flow.Zone, d.k.expects)
				}
			}
		}
		g := all[0].g
		gone := b.Tuple[0]
		gone.Zone = 6
		g.Destroyed(gone, 0)
		if n := g.Stats.Sessions.Load(); n != 2 {
			t.Errorf("%d sessions after the end of another zone's", n)
		}
		all[1].k.gone = true
		g.Destroyed(b.Tuple[0], b.ID)
		if !g.Has(a.Tuple[0]) || g.Has(b.Tuple[0]) {
			t.Error("the wrong session ended")
		}
	}
}

func TestSegmentsThatWaitGoOnInTheirZone(t *testing.T) {
	for _, dir := range []conntrack.ZoneDir{conntrack.ZoneBoth, conntrack.ZoneOriginal} {
		_, b := zonedFlows(dir)
		d := newTalks(t, nil, b)[0]
		d.begin()
		first, second := "NOOP\r\n", "PORT 10,0,13,222,39,136\r\n"
		at := d.seq[toServer]
		d.packet(toServer, at+uint32(len(first)), 0, []byte(second))
		d.got[toServer] = nil
		d.packet(toServer, at, 0, []byte(first))
		d.wantArrived("both", string(d.got[toServer]), first+"PORT 203,0,113,77,39,136\r\n")
	}
}

func TestZoneThatIsNotToldIsSearchedOnce(t *testing.T) {
	for _, dir := range []conntrack.ZoneDir{conntrack.ZoneBoth, conntrack.ZoneOriginal, conntrack.ZoneReply} {
		_, b := zonedFlows(dir)
		d := newTalks(t, []uint16{0, 9, 5}, b)[0]
		for i := range d.k.flow.Tuple {
			d.k.flow.Tuple[i].Zone = b.Tuple[i].Zone
		}
		d.begin()
		d.wantArrived("PORT", d.c("PORT 10,0,13,222,39,136\r\n"), "PORT 203,0,113,77,39,136\r\n")
		if n := d.g.Stats.Untouched[policy.UnknownFlow].Load(); n != 0 || len(d.k.expects) != 1 {
			t.Errorf("%d packets of nobody, open is %+v", n, d.k.expects)
		}
		d.k.gone = true
		d.g.Destroyed(b.Tuple[0], b.ID)
		if n := d.g.Stats.Sessions.Load(); n != 0 {
			t.Errorf("%d sessions after the end", n)
		}
	}
	_, b := zonedFlows(conntrack.ZoneBoth)
	d := newTalks(t, []uint16{6}, b)[0]
	d.begin()
	d.wantArrived("PORT", d.c("PORT 10,0,13,222,39,136\r\n"), "PORT 10,0,13,222,39,136\r\n")
}

func TestConnectionsThatNobodyCanTellApartGoOnUntouched(t *testing.T) {
	a, b := zonedFlows(conntrack.ZoneBoth)
	all := newTalks(t, []uint16{5}, a, b)
	g := all[0].g
	g.kernel = &kernels{all[0].k}
	all[0].begin()
	all[0].c("PORT 10,0,13,222,39,136\r\n")
	all[0].s("200 ok\r\n")
	g.kernel = &kernels{all[0].k, all[1].k}
	all[1].k.flow.Opening = true
	all[1].begin()
	for _, d := range all {
		const line = "PORT 10,0,13,222,39,137\r\n"
		d.wantArrived("PORT", d.c(line), line)
	}
	if n := g.Stats.Untouched[policy.TwoZones].Load(); n < 2 || g.Stats.Sessions.Load() != 0 {
		t.Errorf("%d packets of two zones, %d sessions", n, g.Stats.Sessions.Load())
	}
}

// The kernel tells of an expectation without its zone.
func TestFatesOfDoorsWithTheSameAddressesInTwoZones(t *testing.T) {
	a, b := zonedFlows(conntrack.ZoneBoth)
	all := newTalks(t, nil, a, b)
	g := all[0].g
	var told []string
	g.Fates.Listens = true
	g.Fates.OnFate = func(f *fate.Fate) { told = append(told, f.Outcome.String()) }
	var doors []conntrack.Expectation
	for i, d := range all {
		d.begin()
		d.k.number = uint32(100 + i)
		d.c("PORT 10,0,13,222,39,136\r\n")
		d.s("200 ok\r\n")
		x := d.k.expects[0]
		x.Zone, x.Master.Zone = conntrack.Zone{}, 0
		doors = append(doors, x)
	}
	now := all[0].now
	other := doors[0]
	other.ID = 200
	g.Fates.DoorGone(now, &other, false) // of a zone that nobody knows
	g.Fates.DoorGone(now, &doors[1], true)
	g.Tick(now.Add(2 * time.Second))
	data := conntrack.Tuple{Src: serverAddr, Dst: doors[0].Dst}
	elsewhere := data
	elsewhere.Zone = 5
	g.Fates.DataStarted(now, elsewhere, b.Tuple[0]) // it is too late for that
	g.Fates.DataStarted(now, data, a.Tuple[0])
	ended := conntrack.Entry{
		Flow: conntrack.Flow{Tuple: [2]conntrack.Tuple{elsewhere}}, Status: conntrack.StatusAssured,
	}
	g.Fates.DataEnded(now, &ended)
	ended.Tuple[0] = data
	g.Fates.DataEnded(now, &ended)
	if got := strings.Join(told, " "); got != "dropped used" {
		t.Errorf("told of %q", got)
	}
}
