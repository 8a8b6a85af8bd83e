package replay

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/gopacket/gopacket/layers"
	"github.com/klauspost/compress/zstd"
)

// file writes pcap by hand: magic, link type, in this byte order, with extra bytes in each record's header.
func file(order binary.AppendByteOrder, magic uint32, extra int, pkts [][]byte) []byte {
	b := order.AppendUint32(nil, magic)
	b = order.AppendUint16(b, 2)
	b = order.AppendUint16(b, 4)
	for _, v := range []uint32{0, 0, 65535, uint32(layers.LinkTypeRaw)} {
		b = order.AppendUint32(b, v)
	}
	for i, p := range pkts {
		for _, v := range []uint32{uint32(1000 + i), 0, uint32(len(p)), uint32(len(p))} {
			b = order.AppendUint32(b, v)
		}
		b = append(append(b, make([]byte, extra)...), p...)
	}
	return b
}

// snoop writes a file as RFC 1761 has it.
func snoop(pkts [][]byte) []byte {
	order := binary.BigEndian
	b := order.AppendUint32(order.AppendUint32([]byte("snoop\x00\x00\x00"), 2), 4)
	for i, p := range pkts {
		p = append([]byte("\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x08\x00"), p...)
		pad := -len(p) & 3
		for _, v := range []int{len(p), len(p), 24 + len(p) + pad, 0, 1000 + i, 0} {
			b = order.AppendUint32(b, uint32(v))
		}
		b = append(append(b, p...), make([]byte, pad)...)
	}
	return b
}

func TestEveryKindOfFileIsRead(t *testing.T) {
	pkts := packets(t, append(login[:6:6], segment{ack, "PORT 10,0,0,1,39,136\r\n"}))
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, capture := range map[string][]byte{
		"little endian":              file(binary.LittleEndian, 0xa1b2c3d4, 0, pkts),
		"big endian":                 file(binary.BigEndian, 0xa1b2c3d4, 0, pkts),
		"nanoseconds":                file(binary.LittleEndian, 0xa1b23c4d, 0, pkts),
		"nanoseconds, big endian":    file(binary.BigEndian, 0xa1b23c4d, 0, pkts),
		"modified":                   file(binary.LittleEndian, modifiedMagic, 8, pkts),
		"modified, big endian":       file(binary.BigEndian, modifiedMagic, 8, pkts),
		"modified, big endian, gzip": zipped(t, file(binary.BigEndian, modifiedMagic, 8, pkts)),
		"snoop":                      snoop(pkts),
		"zstd":                       z.EncodeAll(snoop(pkts), nil),
		"zstd of two frames, as -T0's": append(z.EncodeAll(pcapng(t, pkts)[:100], nil),
			z.EncodeAll(pcapng(t, pkts)[100:], nil)...),
	} {
		t.Run(name, func(t *testing.T) {
			r := replayed(t, capture, Options{})
			const want = "10.0.0.1:40000>10.0.0.2:21 1-7; 7 port 10.0.0.1:10120 for 10.0.0.2\n"
			if got := r.told(); got != want || r.sum.First.Unix() != 1000 || r.sum.Last.Unix() != 1006 {
				t.Errorf("%s%+v", got, r.sum)
			}
		})
	}
}

func TestModifiedFileThatIsCutIsReported(t *testing.T) {
	b := file(binary.LittleEndian, modifiedMagic, 8, packets(t, login))
	for _, less := range []int{1, 40, 55, 60} {
		s, err := Run(bytes.NewReader(b[:len(b)-less]), Options{Policy: DefaultPolicy()}, Observer{})
		if err == nil || s.Frames != len(login)-1 {
			t.Errorf("%d bytes less: %v, %d frames", less, err, s.Frames)
		}
	}
}
