package replay

import (
	"testing"
)

// Another connection's packet, held since its predecessor is lost, is let go when a second is over. That
// must not change to whom the packet of that moment counts.
func TestHeldPacketOfAnotherConnectionTakesNothingFromTheNext(t *testing.T) {
	port := segment{ack, "PORT 10,0,0,1,39,136\r\n"}
	held := packets(t, append(login[:6:6], segment{ack, "NOOP\r\n"}, segment{ack, "NOOP\r\n"}))
	held = append(held[:6:6], held[7]) // the first NOOP is lost, the second waits for it
	for _, p := range held {
		fromPort(p, 40001)
	}
	other := packets(t, append(login[:6:6], segment{ack, "NOOP\r\n"}, segment{ack, "NOOP\r\n"}, port))
	all := append(other[:6:6], append(held, other[6:]...)...) // PORT comes 3 s after the held packet
	for _, c := range replayed(t, pcapng(t, all), Options{}).controls {
		if want := int(c.Client.Port()) - 40000; len(c.Channels) != 1-want {
			t.Errorf("%v has %d channels, want %d", c.Client, len(c.Channels), 1-want)
		}
	}
}

// fromPort gives a packet of the dialogue another client port.
func fromPort(ip []byte, port uint16) {
	at := 20 // source port
	if ip[12+3] == 2 {
		at = 22 // of the server: destination port
	}
	ip[at], ip[at+1] = byte(port>>8), byte(port)
}
