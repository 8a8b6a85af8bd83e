package replay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// block writes a block of pcapng.
func block(order binary.AppendByteOrder, kind uint32, body []byte) []byte {
	body = append(body, make([]byte, -len(body)&3)...)
	n := uint32(12 + len(body))
	b := order.AppendUint32(order.AppendUint32(nil, kind), n)
	return order.AppendUint32(append(b, body...), n)
}

// words writes 32-bit numbers.
func words(order binary.AppendByteOrder, w ...uint32) []byte {
	var b []byte
	for _, v := range w {
		b = order.AppendUint32(b, v)
	}
	return b
}

// section writes the head of a section, and one interface with these options.
func section(order binary.AppendByteOrder, link linkType, most uint32, options ...byte) []byte {
	version := order.AppendUint16(order.AppendUint16(words(order, orderMark), 1), 0)
	b := block(order, sectionHeader, append(version, bytes.Repeat([]byte{0xff}, 8)...))
	description := order.AppendUint16(order.AppendUint16(nil, uint16(link)), 0)
	description = append(order.AppendUint32(description, most), options...)
	return append(b, block(order, blockInterface, description)...)
}

// all reads a capture to its end.
func all(t *testing.T, b []byte) ([]frame, error) {
	t.Helper()
	c, err := openCapture(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	var read []frame
	for {
		f, err := c.next()
		if errors.Is(err, io.EOF) {
			return read, nil
		}
		if err != nil {
			return read, err
		}
		read = append(read, f)
	}
}

func TestEveryKindOfPacketBlockIsRead(t *testing.T) {
	big, little := binary.BigEndian, binary.LittleEndian
	enhanced := append(words(little, 0, 0, 7_500_000, 5, 5), "frame"...)
	old := append(little.AppendUint16(little.AppendUint16(nil, 0), 3), words(little, 0, 7_500_000, 5, 9)...)
	for name, c := range map[string]struct {
		file []byte
		at   time.Time
		cut  bool
	}{
		"enhanced": {append(section(little, linkRaw, 0), block(little, blockEnhanced, enhanced)...),
			time.Unix(7, 5e8), false},
		"with a comment, after an unknown block": {slices.Concat(section(little, linkRaw, 0),
			block(little, 0xbad, []byte("?")), block(little, blockEnhanced, append(append(enhanced, 0, 0, 0),
				1, 0, 2, 0, 'h', 'i', 0, 0, 0, 0, 0, 0))), time.Unix(7, 5e8), false},
		"old, cut": {append(section(little, linkRaw, 0), block(little, blockPacket,
			append(old, "frame"...))...),
			time.Unix(7, 5e8), true},
		"simple, cut": {append(section(big, linkRaw, 5), block(big, blockSimple,
			append(words(big, 9), "frame"...))...), time.Time{}, true},
		"2^-1 s, 10 s later": {append(section(big, linkRaw, 0, 0, 9, 0, 1, 0x81, 0, 0, 0,
			0, 14, 0, 8, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0),
			block(big, blockEnhanced, append(words(big, 0, 0, 15, 5, 5), "frame"...))...), time.Unix(17, 5e8),
			false},
		"10^-19 s": {append(section(little, linkRaw, 0, 9, 0, 1, 0, 19, 0, 0, 0), block(little, blockEnhanced,
			append(words(little, 0, 1<<31, 0, 5, 5), "frame"...))...), time.Unix(0, 922337203), false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := all(t, c.file)
			if err != nil || len(got) != 1 {
				t.Fatalf("%d frames, %v", len(got), err)
			}
			f := got[0]
			if string(f.data) != "frame" || !f.time.Equal(c.at) || f.cut != c.cut || f.link != linkRaw {
				t.Errorf("%+v", f)
			}
		})
	}
}

func TestSectionsInterfacesAndTimesAreReadAsTheyWereWritten(t *testing.T) {
	var file bytes.Buffer
	var want []string
	for range 2 { // two sections
		i := pcapgo.NgInterface{Name: "a", LinkType: layers.LinkTypeRaw}
		w, err := pcapgo.NewNgWriterInterface(&file, i,
			pcapgo.DefaultNgWriterOptions)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.AddInterface(pcapgo.NgInterface{Name: "b", Comment: strings.Repeat("long ", 9),
			LinkType: layers.LinkTypeEthernet}); err != nil {
			t.Fatal(err)
		}
		for i := range 9 {
			data := bytes.Repeat([]byte{byte(i)}, i)
			in := gopacket.CaptureInfo{
				Timestamp: time.Unix(int64(i), 123_456_789).UTC(), CaptureLength: i, Length: i,
				InterfaceIndex: i % 2}
			if err := w.WritePacket(in, data); err != nil {
				t.Fatal(err)
			}
			want = append(want, in.Timestamp.String()+string(data)+[]string{"raw", "ethernet"}[i%2])
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	read, err := all(t, file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	names := map[linkType]string{linkRaw: "raw", linkEthernet: "ethernet"}
	var got []string
	for _, f := range read {
		got = append(got, f.time.String()+string(f.data)+names[f.link])
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestWhatIsWrongInACaptureIsSaid(t *testing.T) {
	order := binary.LittleEndian
	head := section(order, linkRaw, 0)
	after := func(kind uint32, body ...byte) []byte {
		return append(head[:len(head):len(head)], block(order, kind, body)...)
	}
	for want, file := range map[string][]byte{
		"of interface 1, and the section has 1": after(blockEnhanced, words(order, 1, 0, 0, 0, 0)...),
		"has no interface": append(
			head[:28:28], block(order, blockSimple, words(order, 0))...),
		"5 bytes, in a block that has 0 more": after(blockEnhanced, words(order, 0, 0, 0, 5, 5)...),
		"too short for what is in it":         after(blockEnhanced, words(order, 0)...),
		"longer than its block": after(
			blockInterface, append(words(order, 101, 0), 2, 0, 99, 0)...),
		"times is too small: 0x14": after(
			blockInterface, append(words(order, 101, 0), 9, 0, 1, 0, 20, 0, 0, 0)...),
		"a block is said to have 11 bytes": append(head[:28:28], words(order, 6, 11)...),
		"a section begins with 00000000":   words(order, sectionHeader, 28, 0, 1, 0, 0, 28),
		"1048577 bytes, and 1048576 are": append(
			file(order, microMagic, 0, nil), words(order, 0, 0, maxFrame+1, 0)...),
		"pcap of version 2.3, and only 2.4": append(
			append(words(order, microMagic), 2, 0, 3, 0), make([]byte, 16)...),
		"it has less than a header": words(order, microMagic, 4),
		"a record of 24 bytes has 5 of a frame": append(
			append(snoop(nil), words(binary.BigEndian, 5, 5, 24, 0, 0, 0)...), "frame"...),
		"snoop of version 2 and link type 8": append(
			[]byte("snoop\x00\x00\x00"), words(binary.BigEndian, 2, 8)...),
		"frame 1: unexpected EOF":                head[:len(head)-1],
		"read the pcapng header: unexpected EOF": head[:22],
		"pcapng of version 1.1": append(
			append(words(order, sectionHeader, 28, orderMark), 1, 0, 1, 0), make([]byte, 12)...),
	} {
		if read, err := all(t, file); err == nil || !strings.Contains(err.Error(), want) || len(read) > 0 {
			t.Errorf("%d frames and %v, want %s", len(read), err, want)
		}
	}
}
