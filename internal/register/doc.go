// Package register is the protocol: one key as a register that several replicas keep, without a log and without a leader.
//
// Each key is an independent Paxos register in the form of Rystsov ('CASPaxos: Replicated State Machines without logs', 2018). Its
// state at one replica is one accepted Record. A change is made in two phases, each at a majority: prepare collects promises, that
// show the newest record; the change is evaluated upon it; accept stores the record that comes out. Two rounds that get in each
// other's way are told apart by their ballots, which are Stamps of a hybrid Clock: time makes them grow, safety does not rest on it.
//
// What users see is the Version, the ballot of a write's first proposal. Retries, repairs and settling raise the ballot and keep the
// version. Along the chain of a key's states versions grow, and a record remembers the last of them (History): so a write that was cut
// short can be looked for before it is tried again, and is applied at most once.
//
// Whatever breaks off in between is somebody else's to finish. The node where a write entered hands it to a coordinator with a last ballot, and
// takes it over when that one does not answer: every later coordinator works at ballots above all earlier ones, so what it finds is
// final as far as these go. It completes the write, or proves that it was never applied and never will be, or says that nobody can tell.
//
// All of it is pure. There is no goroutine, clock, disk or network in here; three step machines take events and give back what to do:
//
//   - Passage is a write at the node where it entered: it says who works on it next, and whose report counts.
//   - Operation is a client's read or write at its coordinator: it says whom to ask what, and takes in the answers.
//   - Request is one such question at a replica, Acceptor what the replica must remember to answer it.
//
// Thin shells carry the steps out (packages coordinator and replica), and so does a simulation, with faults.
package register
