package replay

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"time"
)

// The types of the blocks that are looked into, and the byte order's mark.
const (
	blockInterface = 1
	blockPacket    = 2 // what was before the enhanced one
	blockSimple    = 3
	blockEnhanced  = 6

	orderMark = 0x1a2b3c4d
)

// Options of an interface.
const (
	optionEnd        = 0
	optionResolution = 9
	optionOffset     = 14
)

// pcapngFile reads the blocks of a file as draft-ietf-opsawg-pcapng has it.
type pcapngFile struct {
	r          *bufio.Reader
	order      binary.ByteOrder
	interfaces []captured // of this section
	left       int64      // bytes of the block under way, its length at the end included
	b          [20]byte
}

// captured is an interface.
type captured struct {
	link   linkType
	most   uint32 // bytes of each frame; 0: no limit
	second uint64 // in its units of time
	offset int64  // seconds to add
}

func openPcapng(r *bufio.Reader) (func() (frame, error), error) {
	p := &pcapngFile{r: r}
	_, err := p.block()
	if err == nil {
		err = p.section()
	}
	if err != nil {
		return nil, fmt.Errorf("read the pcapng header: %w", err)
	}
	return p.next, nil
}

func (p *pcapngFile) next() (frame, error) {
	for {
		kind, err := p.block()
		if err != nil {
			return frame{}, err
		}
		switch kind {
		case sectionHeader:
			err = p.section()
		case blockInterface:
			err = p.describe()
		case blockPacket, blockEnhanced:
			return p.packet(kind)
		case blockSimple:
			return p.simple()
		}
		if err != nil {
			return frame{}, err
		}
	}
}

// block leaves what is left of the block under way and begins the next; io.EOF if there is none.
func (p *pcapngFile) block() (kind uint32, err error) {
	if err := p.skip(p.left); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(p.r, p.b[:8]); err != nil {
		return 0, err
	}
	if binary.LittleEndian.Uint32(p.b[:]) == sectionHeader { // the same in either order
		mark, err := p.r.Peek(4)
		if err != nil {
			return 0, unexpected(err)
		}
		for _, p.order = range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			if p.order.Uint32(mark) == orderMark {
				break
			}
		}
		if p.order.Uint32(mark) != orderMark {
			return 0, fmt.Errorf("%w: a section begins with %x", ErrNoCapture, mark)
		}
	}
	p.left = int64(p.order.Uint32(p.b[4:])) - 8
	if p.left < 4 {
		return 0, fmt.Errorf("a block is said to have %d bytes", p.left+8)
	}
	return p.order.Uint32(p.b[:]), nil
}

// skip leaves n bytes of the block out.
func (p *pcapngFile) skip(n int64) error {
	p.left -= n
	_, err := io.CopyN(io.Discard, p.r, n)
	return unexpected(err)
}

// take reads n bytes of the block, which are there until the next call.
func (p *pcapngFile) take(n int) ([]byte, error) {
	if p.left -= int64(n); p.left < 4 {
		return nil, errors.New("a block is too short for what is in it")
	}
	return p.b[:n], within(p.r, p.b[:n])
}

func (p *pcapngFile) section() error {
	b, err := p.take(16) // mark, version, length of the section
	if err != nil {
		return err
	}
	// 1.2 differs from 1.0 in nothing (section 4.1).
	if major, minor := p.order.Uint16(b[4:]), p.order.Uint16(b[6:]); major != 1 || minor != 0 && minor != 2 {
		return fmt.Errorf("pcapng of version %d.%d, and only 1.0 can be read", major, minor)
	}
	p.interfaces = p.interfaces[:0]
	return nil
}

// describe takes the description of an interface.
func (p *pcapngFile) describe() error {
	b, err := p.take(8)
	if err != nil {
		return err
	}
	i := captured{link: linkType(p.order.Uint16(b)), most: p.order.Uint32(b[4:]), second: 1e6}
	for p.left >= 4+4 {
		if b, err = p.take(4); err != nil {
			return err
		}
		code, n := p.order.Uint16(b), int(p.order.Uint16(b[2:]))
		if code == optionEnd {
			break
		}
		padded := (n + 3) &^ 3
		if n > 8 || code != optionResolution && code != optionOffset {
			if int64(padded) > p.left-4 {
				return errors.New("an option of an interface is longer than its block")
			}
			err = p.skip(int64(padded))
		} else if b, err = p.take(padded); err == nil {
			err = i.option(code, b[:n], p.order)
		}
		if err != nil {
			return err
		}
	}
	p.interfaces = append(p.interfaces, i)
	return nil
}

// option takes an option that says what an interface's times mean.
func (i *captured) option(code uint16, b []byte, order binary.ByteOrder) error {
	switch {
	case code == optionOffset && len(b) == 8:
		i.offset = int64(order.Uint64(b))
	case code == optionResolution && len(b) == 1:
		exponent := b[0] & 0x7f
		binary := b[0] != exponent
		if exponent > 63 || !binary && exponent > 19 {
			return fmt.Errorf("the unit of an interface's times is too small: %#x", b[0])
		}
		if i.second = 1 << exponent; !binary {
			i.second = 1
			for range exponent {
				i.second *= 10
			}
		}
	}
	return nil
}

// time is that of so many units.
func (i *captured) time(units uint64) time.Time {
	// The product may have more than 64 bits, the quotient is below 1e9.
	hi, lo := bits.Mul64(units%i.second, uint64(time.Second))
	nanoseconds, _ := bits.Div64(hi, lo, i.second)
	return time.Unix(int64(units/i.second)+i.offset, int64(nanoseconds)).UTC()
}

// packet reads what is in a packet block of either kind.
func (p *pcapngFile) packet(kind uint32) (frame, error) {
	b, err := p.take(20)
	if err != nil {
		return frame{}, err
	}
	id := p.order.Uint32(b)
	if kind == blockPacket {
		id = uint32(p.order.Uint16(b))
	}
	if int64(id) >= int64(len(p.interfaces)) {
		return frame{}, fmt.Errorf("it is of interface %d, and the section has %d", id, len(p.interfaces))
	}
	i := &p.interfaces[id]
	f := frame{link: i.link, time: i.time(uint64(p.order.Uint32(b[4:]))<<32 | uint64(p.order.Uint32(b[8:])))}
	return p.data(f, p.order.Uint32(b[12:]), p.order.Uint32(b[16:]))
}

// simple reads what is in a simple packet block: of the first interface, and of no time.
func (p *pcapngFile) simple() (frame, error) {
	b, err := p.take(4)
	if err != nil {
		return frame{}, err
	}
	if len(p.interfaces) == 0 {
		return frame{}, errors.New("it is of a section that has no interface")
	}
	i, length := &p.interfaces[0], p.order.Uint32(b)
	n := length
	if i.most != 0 {
		n = min(n, i.most)
	}
	return p.data(frame{link: i.link}, n, length)
}

// data reads n bytes of a frame that had this length.
func (p *pcapngFile) data(f frame, n, length uint32) (frame, error) {
	if int64(n) > p.left-4 {
		return frame{}, fmt.Errorf("it is said to have %d bytes, in a block that has %d more", n, p.left-4)
	}
	var err error
	if f.data, err = frameData(p.r, n); err != nil {
		return frame{}, err
	}
	p.left -= int64(n)
	f.cut = n < length
	return f, p.skip(p.left)
}
