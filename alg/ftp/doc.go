// Package ftp is the grammar of the lines of an FTP control connection: commands,
// replies, and the addresses in PORT, EPRT, 227 and 229.
//
// Its functions are plain functions over bytes. They keep nothing, allocate nothing
// and know nothing of a session: whether a port may be opened is decided elsewhere.
// What they return are values and offsets into the slice they were given, so that a
// caller can replace an address and leave every other byte of the line alone.
//
// Addresses are read as narrowly as the two ends read them. Where real clients or
// servers take the same bytes for different addresses, the answer is that there is
// none: the line passes unchanged, opens nothing, and the far end sees what it always saw.
// Everywhere else the parsers are as lenient as the programs in use.
//
// Only a line feed ends a line. A slice may hold the line end or not; what follows the
// first line feed is ignored. Blanks are space and TAB. Numbers are decimal, whatever
// zeros they begin with, and have at most five digits.
package ftp
