// Package nlread takes apart what the kernel says over netlink: a datagram is messages, the
// body of a message is attributes, and so may be the value of an attribute.
//
// Headers are in host byte order, the values of nfnetlink are big endian
// (include/uapi/linux/netlink.h, nfnetlink.h). What the kernel sends always fits; on other
// bytes the functions end early and read zeros, but never beyond. Nothing is copied.
package nlread
