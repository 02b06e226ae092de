// Package simulation runs a whole cluster of the product's own code in one goroutine, from a seed.
//
// What decides is the product's: register.Operation and register.Passage at the coordinators, register.Acceptor, Request and Clock at the
// replicas, and the store with its journal, files and checkpoints (store.Stepped). What is around them is made here: time, network, disks
// (store/disktest), crashes, and thin shells that carry the steps out as the goroutines of coordinator and replica do. All chance comes out of
// one generator, so that a seed names a run and a failure can be looked at as often as one likes.
//
// Clients put, delete and read, with conditions and without, and remember when they asked and what they were told. In the end all faults are
// over, every node is asked for every key, and each key's history must be linearizable (porcupine). Besides, the books (book.go) check at
// each step what must hold inside: no version with two contents, nothing chosen that is lost, nothing told that is not chosen, no effect
// of a write whose client was told that there is none.
//
// Chance alone would hardly let rare things meet; profiles (profile.go) bring them together. Whether the whole thing would notice a mistake
// is itself tested: mutants_test.go makes mistakes on purpose.
package simulation
