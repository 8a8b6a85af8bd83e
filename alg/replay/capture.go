package replay

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// ErrNoCapture is the error of what is no capture at all.
var ErrNoCapture = errors.New("neither pcap nor pcapng nor snoop")

// maxFrame is the longest frame that is read, in bytes: twice what Linux makes of segments (BIG TCP).
const maxFrame = 1 << 20

// frame is one captured packet.
type frame struct {
	number int // from 1, as Wireshark counts
	time   time.Time
	link   linkType
	data   []byte
	cut    bool // the capture has only its beginning
}

// capture reads the frames of a capture file of any kind.
type capture struct {
	read func() (frame, error) // all but the number; io.EOF at the end
	n    int
}

// The first bytes of the kinds of files, as a little-endian number.
const (
	sectionHeader = 0x0a0d0d0a // pcapng: the type of its first block
	snoopMagic    = 0x6f6f6e73 // "snoo"
)

func openCapture(r io.Reader) (*capture, error) {
	in, err := unpacked(bufio.NewReader(r))
	if err != nil {
		return nil, err
	}
	magic, err := in.Peek(4)
	if err != nil {
		if !errors.Is(err, io.EOF) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: it has only %d bytes", ErrNoCapture, len(magic))
	}
	c := new(capture)
	switch binary.LittleEndian.Uint32(magic) {
	case sectionHeader:
		c.read, err = openPcapng(in)
	case snoopMagic:
		c.read, err = openSnoop(in)
	default:
		c.read, err = openPcap(in)
	}
	return c, err
}

// next returns the next frame; io.EOF at the end.
func (c *capture) next() (frame, error) {
	f, err := c.read()
	if errors.Is(err, io.EOF) {
		return frame{}, io.EOF
	}
	c.n++
	if err != nil {
		return frame{}, fmt.Errorf("frame %d: %w", c.n, err)
	}
	f.number = c.n
	return f, nil
}

// within reads what has to be there: the end of the file is not expected.
func within(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	return unexpected(err)
}

// unexpected is the error of a file that ends where it should not.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// frameData reads the n bytes of a frame.
func frameData(r io.Reader, n uint32) ([]byte, error) {
	if n > maxFrame {
		return nil, fmt.Errorf("it is said to have %d bytes, and %d are the most that is read", n, maxFrame)
	}
	b := make([]byte, n)
	return b, within(r, b)
}
