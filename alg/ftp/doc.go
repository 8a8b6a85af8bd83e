// Package ftp is the grammar of FTP control lines: commands, replies, and the
// addresses in PORT, EPRT, 227 and 229 in every form that real programs send.
//
// The functions take bytes as they came and give back values and the places at
// which they stand, so that a caller can replace just these. Only a line feed
// ends a line; a carriage return alone does not. Numbers are decimal, whatever
// zeros they begin with, and are checked, never wrapped. Nothing allocates.
package ftp
