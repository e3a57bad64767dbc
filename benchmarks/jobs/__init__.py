"""Tables of real jobs, whose rows nobody likes to show: what an encrypted prediction reaches, and costs."""
