"""The face of the room."""

import skfhe.deployment as deployment


def test_every_name_of_the_face_is_there():
    for name in deployment.__all__:
        assert getattr(deployment, name) is not None
