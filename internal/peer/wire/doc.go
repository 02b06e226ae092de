// Package wire is the form of what nodes say to each other: messages and services as peer.proto has them, the code generated from it
// (make proto), and nothing else. What they mean is package peer's.
package wire
