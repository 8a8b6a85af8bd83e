package conntrack

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack/internal/golden"
)

var (
	client4 = netip.MustParseAddrPort("10.0.0.2:4660") // port 0x1234
	server4 = netip.MustParseAddrPort("192.0.2.9:21")
	client6 = netip.MustParseAddrPort("[fd00::2]:4660")
	server6 = netip.MustParseAddrPort("[2001:db8::9]:21")
)

func encoded(build func(*encoder)) string {
	var e encoder
	build(&e)
	return hex.EncodeToString(e.b)
}

func TestEncodeHeader(t *testing.T) {
	got := encoded(func(e *encoder) {
		e.start(subsysConntrack|msgGet, unix.NLM_F_REQUEST|unix.NLM_F_ACK, 0x01020304, unix.AF_INET)
		e.finish()
	})
	want := hex.EncodeToString(golden.Message(t, `14000000 0101 0500 04030201 00000000 02 00 0000`))
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestEncode(t *testing.T) {
	const tupleV4 = ` 3400 0180
		1400 0180 0800 0100 0a000002 0800 0200 c0000209
		1c00 0280 0500 0100 06000000 0600 0200 1234 0000 0600 0300 0015 0000`
	for _, c := range []struct {
		name  string
		build func(*encoder)
		want  string
	}{
		{"IPv4 tuple", func(e *encoder) { e.tuple(ctaTupleOrig, Tuple{Src: client4, Dst: server4}) },
			tupleV4},
		{"IPv6 tuple", func(e *encoder) { e.tuple(ctaTupleOrig, Tuple{Src: client6, Dst: server6}) },
			`4c00 0180
			 2c00 0180 1400 0300 fd000000000000000000000000000002 1400 0400 20010db8000000000000000000000009
			 1c00 0280 0500 0100 06000000 0600 0200 1234 0000 0600 0300 0015 0000`},
		{"state alone", func(e *encoder) {
			e.update(&Update{StateMask: StateBusy, State: StateBusy | StateOpaque}, DefaultLayout)
		},
			`1400 1600 0000000000000000000000000000 0200
			 1400 1700 0000000000000000000000000000 0200`},
		{"liberal alone", func(e *encoder) { e.update(&Update{Liberal: true}, DefaultLayout) },
			`1800 0480 1400 0180 0600 0400 0808 0000 0600 0500 0808 0000`},
		{"edits in flight in one direction", func(e *encoder) {
			e.update(&Update{Flight: [2]Flight{{1, 2, 3}, {0x0102, -2, 0x0304}},
				SetFlight: [2]bool{Reply: true}},
				DefaultLayout)
		},
			`1400 1600 0000 000000000000 0201feff0403 0000
			 1400 1700 0000 000000000000 ffffffffffff 0000`},
		{"state and both sequence adjustments", func(e *encoder) {
			e.update(&Update{StateMask: 0x0106, State: 0xff02, Seq: [2]SeqAdj{{1, -1, 2}, {3, 4, 5}},
				SetSeq: [2]bool{true, true}}, DefaultLayout)
		},
			`1400 1600 0000000000000000000000000000 0201
			 1400 1700 0000000000000000000000000000 0601
			 1800 0480 1400 0180 0600 0400 0808 0000 0600 0500 0808 0000
			 1c00 0f80 0800 0100 00000001 0800 0200 ffffffff 0800 0300 00000002
			 1c00 1080 0800 0100 00000003 0800 0200 00000004 0800 0300 00000005`},
		{"translated expectation", func(e *encoder) {
			e.expectation(&Expectation{Master: Tuple{Src: client4, Dst: server4}, Src: server4.Addr(),
				Dst:       netip.MustParseAddrPort("198.51.100.1:40000"),
				Translate: true, Dir: Reply, Target: client4, Timeout: 20 * time.Second})
		}, tupleV4 + `
			 3400 0280
			 1400 0180 0800 0100 c0000209 0800 0200 c6336401
			 1c00 0280 0500 0100 06000000 0600 0200 0000 0000 0600 0300 9c40 0000
			 3400 0380
			 1400 0180 0800 0100 ffffffff 0800 0200 ffffffff
			 1c00 0280 0500 0100 ff000000 0600 0200 0000 0000 0600 0300 ffff 0000
			 0800 0400 00000014
			 4000 0a80 0800 0100 00000001
			 3400 0280
			 1400 0180 0800 0100 0a000002 0800 0200 00000000
			 1c00 0280 0500 0100 06000000 0600 0200 1234 0000 0600 0300 0000 0000
			 1600 0b00 6e61742d666f6c6c6f772d6d6173746572 00 0000`},
		{"helper", func(e *encoder) { e.helper("ftpalg", unix.AF_INET6, 8, time.Minute) },
			`0b00 0100 667470616c67 00 00
			 1400 0280 0600 0100 000a 0000 0500 0200 06000000
			 2c00 0480 0800 0100 00000001 2000 0280 0b00 0100 667470616c67 00 00 0800 0200 00000008
			0800 0300 0000003c
			 0800 0500 00000000
			 0800 0600 00000000`},
	} {
		if got, want := encoded(c.build), hex.EncodeToString(golden.Attrs(t, c.want)); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", c.name, got, want)
		}
	}
}

// What Linux 6.18 answered, without netlink and nfnetlink header.
const (
	flowAnswer = `
		3400018014000180080001000a4d010208000200c00002021c000280050001000600000006000200
		cd5e00000600030000150000
		340002801400018008000100c000020208000200c00002011c000280050001000600000006000200
		0015000006000300cd5e0000
		08000300000021de 0800080000000000 08000c00b885cb9b 08000b0000000002 0800070000069780
		300004802c0001800500010003000000050002000a000000050003000a000000060004002b000000060005002b000000
		10000580 0900010073616e6500000000
		14001600 0000000000000000000000000000 0302
		1c000f80 0800010011121314 08000200ffffffff 0800030000000002
		1c001080 0800010021222324 0800020000000000 08000300fffffffd`
	expectAnswer = `
		340002801400018008000100c000020208000200c00002011c000280050001000600000006000200
		00000000060003009c400000
		340003801400018008000100ffffffff08000200ffffffff1c000280050001000600000006000200
		0000000006000300ffff0000
		3400018014000180080001000a4d010208000200c00002021c000280050001000600000006000200
		cd5e00000600030000150000
		40000a80 0800010000000001
		3400028014000180080001000a4d010208000200000000001c000280050001000600000006000200
		07d000000600030000000000
		0800040000000014 08000500f3ac2004 0800080000000000 0800090000000000
		0900060073616e6500000000 16000b006e61742d666f6c6c6f772d6d61737465720000 00`
)

func TestDecodeFlow(t *testing.T) {
	inside, outside := netip.MustParseAddrPort("10.77.1.2:52574"), netip.MustParseAddrPort("192.0.2.1:52574")
	server := netip.MustParseAddrPort("192.0.2.2:21")
	want := Flow{
		ID: 0xb885cb9b, Tuple: [2]Tuple{{inside, server, 0}, {server, outside, 0}}, Helper: "sane",
		SNAT:  true,
		State: 0x0203, HasState: true,
		Seq: [2]SeqAdj{{0x11121314, -1, 2}, {0x21222324, 0, -3}}, HasSeq: true,
	}
	d := decoder{layout: DefaultLayout}
	var got Flow
	d.flow(golden.Attrs(t, flowAnswer), &got)
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestDecodeExpectation(t *testing.T) {
	want := Expectation{
		Master: Tuple{netip.MustParseAddrPort("10.77.1.2:52574"), netip.MustParseAddrPort("192.0.2.2:21"), 0},
		Src:    netip.MustParseAddr("192.0.2.2"), Dst: netip.MustParseAddrPort("192.0.2.1:40000"),
		Translate: true, Dir: Reply, Target: netip.MustParseAddrPort("10.77.1.2:2000"),
		Timeout: 20 * time.Second, ID: 0xf3ac2004,
	}
	var d decoder
	var got ExpectEntry
	d.expectation(golden.Attrs(t, expectAnswer), &got)
	if got.Expectation != want || got.Fn != followMaster || got.Mask != maskFor(want.Src) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(golden.Attrs(f, flowAnswer))
	f.Add(golden.Attrs(f, expectAnswer))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := decoder{layout: DefaultLayout}
		var e Entry
		var x ExpectEntry
		d.flow(b, &e.Flow)
		d.entry(b, &e)
		d.expectation(b, &x)
	})
}

func TestMixedAddressFamiliesAreRefused(t *testing.T) {
	var c Conn
	mixed := Tuple{Src: client4, Dst: server6}
	if _, err := c.Flow(mixed); !errors.Is(err, errFamilies) {
		t.Errorf("Flow: %v", err)
	}
	if _, err := c.Flow(Tuple{}); !errors.Is(err, errFamilies) {
		t.Errorf("Flow without addresses: %v", err)
	}
	if err := c.Update(mixed, Update{StateMask: 1}); !errors.Is(err, errFamilies) {
		t.Errorf("Update: %v", err)
	}
	if err := expect(&c, Expectation{Master: Tuple{Src: client4, Dst: server4},
		Src: server4.Addr(), Dst: client4,
		Translate: true, Target: client6}); !errors.Is(err, errFamilies) {
		t.Errorf("Expect: %v", err)
	}
}

func TestUpdateOfNothingSendsNothing(t *testing.T) {
	if err := (&Conn{fd: -1}).Update(Tuple{}, Update{State: StateBusy}); err != nil {
		t.Error(err)
	}
}

func TestKernelAnswersAreTranslated(t *testing.T) {
	for errno, want := range map[unix.Errno]error{
		unix.EBUSY: ErrPortTaken, unix.EEXIST: ErrPortTaken, unix.ENOENT: ErrNotFound,
		unix.EOPNOTSUPP: ErrNoHelper, unix.EMFILE: ErrTableFull, unix.EIO: unix.EIO,
	} {
		if got := ExpectError(errno); !errors.Is(got, want) {
			t.Errorf("%v: %v", errno, got)
		}
	}
	for _, errno := range []unix.Errno{unix.EPERM, unix.EINVAL, unix.ENOENT, unix.EOPNOTSUPP} {
		if got := registryError(errno); !errors.Is(got, ErrUnsupported) || !errors.Is(got, errno) {
			t.Errorf("helper registry, %v: %v", errno, got)
		}
	}
}

func TestHelperLimitsAreChecked(t *testing.T) {
	var c Conn
	for _, h := range []struct {
		name string
		max  int
	}{{"", 1}, {"sixteen-letters!", 1}, {"x", 0}, {"x", 256}} {
		if err := c.RegisterHelper(h.name, h.max, time.Minute); err == nil {
			t.Errorf("%+v was taken", h)
		}
	}
}
