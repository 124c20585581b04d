//! Watches the containers and processes of a node, reads what really runs in them, and sends the events to Scanner without losing one.
