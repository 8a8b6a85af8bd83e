// Package peer is an FTP server and a client that cost little: each is one thread with an
// epoll, so that what is measured is what lies between them. They speak what the
// bench needs and no more, and take every surprise for a failure.
package peer
