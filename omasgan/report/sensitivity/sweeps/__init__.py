"""What finished sweeps say about the params, without any training.

``content`` is the page. ``pool`` puts the trials of comparable studies together; ``importance``
measures how much each param matters among them, ``dependence`` models the objective along the
values of params, ``figures`` draws both. What is measured are the trials' objectives, which no
test anomaly has touched (except under the rule ``oracle``).
"""
