package nfqueue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	nfq "github.com/florianl/go-nfqueue/v2"
	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack/internal/golden"
)

func TestConfigMessageBindsAndSetsEverythingAtOnce(t *testing.T) {
	got := configMessage(0x1234, 4096, nfq.NfQaCfgFlagFailOpen, 1)
	want := golden.Message(t, ""+
		"40000000"+"02030500"+"0100000000000000"+ // length; type, REQUEST|ACK; sequence, port
		"00001234"+ // family, version, queue
		"0800010001000000"+ // command: bind
		"090002000000fffb02000000"+ // parameters: copy 65531 bytes of the packet
		"0800030000001000"+ // queue length
		"0800050000000001"+"0800040000000001") // flag FAIL_OPEN and its mask
	if !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

func TestVerdictMessage(t *testing.T) {
	for _, c := range []struct {
		v    Verdict
		data string
		want string
	}{
		{Accept, "", "20000000" + "0103010000000000" + "0000000000000007" + "0c0002000000000100000102"},
		{Drop, "", "20000000" + "0103010000000000" + "0000000000000007" + "0c0002000000000000000102"},
		{Accept, "hello", "2c000000" + "0103010000000000" + "0000000000000007" + "0c0002000000000100000102" +
			"09000a00" + "68656c6c6f000000"},
	} {
		got, want := appendVerdict(nil, 7, 0x102, c.v, []byte(c.data)), golden.Message(t, c.want)
		if !bytes.Equal(got, want) {
			t.Errorf("%v, %q:\ngot  %x\nwant %x", c.v, c.data, got, want)
		}
	}
}

// packetMessage is a message of the kernel with a packet in it.
func packetMessage(id uint32, payload []byte, extra ...byte) []byte {
	b := appendHeader(nil, msgPacket, 0, 0, 7)
	b = appendAttr(b, attrPacketHeader, byte(id>>24), byte(id>>16), byte(id>>8), byte(id), 8, 0, 0, 0)
	b = appendAttr32(b, attrInDev, 3)
	b = appendAttr32(b, attrOutDev, 4)
	b = append(b, extra...)
	b = appendAttr(b, attrPayload, payload...)
	setLen(b, len(b))
	return b
}

func answerMessage(seq uint32, errno unix.Errno) []byte {
	b := appendHeader(nil, unix.NLMSG_ERROR, 0, seq, 0)[:unix.NLMSG_HDRLEN]
	b = binary.NativeEndian.AppendUint32(b, uint32(-int32(errno)))
	b = append(b, make([]byte, unix.NLMSG_HDRLEN)...)
	setLen(b, len(b))
	return b
}

func TestDecode(t *testing.T) {
	whole := packetMessage(9, []byte("hello"))
	var p Packet
	if k, _, _ := decode(whole, &p); k != packet || p.ID != 9 || p.InDev != 3 || p.OutDev != 4 ||
		string(p.Payload) != "hello" || p.Truncated || !p.Time.IsZero() {
		t.Errorf("packet: %v %+v", k, p)
	}
	long := packetMessage(9, []byte("hello"), appendAttr32(nil, attrCapLen, 1500)...)
	if k, _, _ := decode(long, &p); k != packet || !p.Truncated {
		t.Errorf("packet of 1500 bytes of which 5 came: %v %+v", k, p)
	}
	stamp := make([]byte, 16) // struct nfqnl_msg_packet_timestamp
	binary.BigEndian.PutUint64(stamp, 1_700_000_000)
	binary.BigEndian.PutUint64(stamp[8:], 250_001)
	stamped := packetMessage(9, nil, appendAttr(nil, attrTimestamp, stamp...)...)
	if k, _, _ := decode(stamped, &p); k != packet || !p.Time.Equal(time.Unix(1_700_000_000, 250_001_000)) {
		t.Errorf("packet with a timestamp: %v %+v", k, p)
	}
	k, seq, errno := decode(answerMessage(5, unix.ENOENT), &p)
	if k != answer || seq != 5 || errno != unix.ENOENT {
		t.Errorf("refusal: %v %d %v", k, seq, errno)
	}
	for n := range len(whole) {
		if k, _, _ := decode(whole[:n], &p); k != other {
			t.Errorf("the first %d bytes of a packet message: %v", n, k)
		}
	}
}

func TestZoneIsThatOfThePacketsDirection(t *testing.T) {
	number := func(typ uint16) []byte { return appendAttr(nil, typ, 0, 5) }
	const tupleOrig, tupleReply, tupleZone, zone = 1, 2, 3, 18 // enum ctattr_type, ctattr_tuple
	kinds := map[string][]byte{
		"both":     number(zone),
		"original": append(appendAttr(nil, tupleOrig, number(tupleZone)...), appendAttr(nil, tupleReply)...),
		"reply":    append(appendAttr(nil, tupleOrig), appendAttr(nil, tupleReply, number(tupleZone)...)...),
		"none":     appendAttr(nil, tupleOrig),
	}
	for info, want := range []map[string]uint16{
		0: {"both": 5, "original": 5}, // IP_CT_ESTABLISHED, RELATED, NEW
		2: {"both": 5, "original": 5},
		3: {"both": 5, "reply": 5}, // IP_CT_ESTABLISHED_REPLY, RELATED_REPLY
		4: {"both": 5, "reply": 5},
	} {
		for kind, entry := range kinds {
			b := append(appendAttr(nil, attrCT, entry...), appendAttr32(nil, attrCTInfo, uint32(info))...)
			var p Packet
			if k, _, _ := decode(packetMessage(9, nil, b...), &p); want != nil && (k != packet ||
				p.Zone != want[kind]) {
				t.Errorf("%s, info %d: zone %d, want %d", kind, info, p.Zone, want[kind])
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(packetMessage(1, []byte("USER a\r\n")))
	f.Add(packetMessage(1, nil, appendAttr32(nil, attrCapLen, 1500)...))
	f.Add(answerMessage(1, unix.EPERM))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Packet
		if k, _, _ := decode(b, &p); k == packet && len(p.Payload) > len(b) {
			t.Errorf("%d bytes of payload in a message of %d", len(p.Payload), len(b))
		}
	})
}

func TestParseStats(t *testing.T) {
	const table = "    3   1234     2 2 65531     0     0       17  1\n" +
		"   77  99999     5 2 65531    11    12     1234  1\n"
	if s, ok := parseStats([]byte(table), 77); !ok || s != (Stats{99999, 5, 11, 12, 1234}) {
		t.Errorf("%+v, %v", s, ok)
	}
	for _, broken := range []string{"", "77", "   77  99999     5 2",
		"   7x  99999     5 2 65531    11    12     1234  1\n"} {
		if s, ok := parseStats([]byte(broken), 77); ok {
			t.Errorf("%q: %+v", broken, s)
		}
	}
	if _, ok := parseStats([]byte(table), 7); ok {
		t.Error("found a queue that nobody has")
	}
}

// pair is a Queue whose kernel is the other end of a socket pair.
func pair(t testing.TB) (*Queue, *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[1]), "kernel")
	defer f.Close()
	kernel, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := wrap(fds[0], 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(tr.close(), kernel.Close()) })
	return newQueue(Config{Queue: 7, MaxLen: 1024}, tr), kernel.(*net.UnixConn)
}

func TestReceiveFillsABatchAndSkipsRefusedVerdicts(t *testing.T) {
	q, kernel := pair(t)
	for _, m := range [][]byte{packetMessage(1, []byte("a")), answerMessage(0, unix.ENOENT),
		answerMessage(1, 0), packetMessage(2, []byte("bc")), packetMessage(3, nil)} {
		if _, err := kernel.Write(m); err != nil {
			t.Fatal(err)
		}
	}
	pkts := make([]Packet, 8)
	n, err := q.Receive(pkts)
	if n != 3 || err != nil || q.Gone() != 1 {
		t.Fatalf("%d packets, %v, %d gone", n, err, q.Gone())
	}
	if pkts[0].ID != 1 || pkts[1].ID != 2 || string(pkts[1].Payload) != "bc" || pkts[2].ID != 3 {
		t.Errorf("%+v", pkts[:n])
	}
}

func TestReceiveAndVerdictDoNotAllocate(t *testing.T) {
	q, kernel := pair(t)
	in, out := packetMessage(1, make([]byte, 1400)), make([]byte, 2048)
	pkts := make([]Packet, 4)
	kernelRaw, err := kernel.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	write := func(fd uintptr) { _, _ = unix.Write(int(fd), in) }
	read := func(fd uintptr) { _, _ = unix.Read(int(fd), out) }
	if n := testing.AllocsPerRun(200, func() {
		_ = kernelRaw.Control(write)
		if n, err := q.Receive(pkts); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if err := errors.Join(q.Verdict(pkts[0].ID, Accept, pkts[0].Payload), q.Flush()); err != nil {
			t.Fatal(err)
		}
		_ = kernelRaw.Control(read)
	}); n > 0 {
		t.Errorf("%v allocations a packet", n)
	}
	if p := out[verdictRoom+unix.SizeofNlAttr:][:1400]; !bytes.Equal(p, make([]byte, 1400)) {
		t.Error("the verdict does not carry the payload")
	}
}

func TestVerdictNumbersAreTheKernels(t *testing.T) {
	if Accept.number() != nfq.NfAccept || Drop.number() != nfq.NfDrop {
		t.Error("verdicts are mixed up")
	}
}
