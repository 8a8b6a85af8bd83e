// Package pair has two gateways, one of which takes over from the other: conntrackd and the files of
// deploy/ha, in network namespaces. Its tests run the program on them. It needs conntrackd, keepalived and
// nft.
package pair
