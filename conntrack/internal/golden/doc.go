// Package golden has netlink messages that were written down on a little endian machine for tests on
// any: only the headers of messages and of attributes are in the order of the machine.
package golden
