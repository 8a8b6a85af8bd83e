// Package wire puts TCP segments of FTP sessions on the wire of a lab, as many as are wanted and when
// they are wanted. Neither end has a socket, so nothing repeats, delays or
// merges them, and a hundred thousand sessions need no descriptors. The gateway between sees
// connections as they are: handshake, greeting, login, commands and replies, each
// acknowledged by the next.
package wire
