"""Images, made alike before anything is learnt from them."""

import numpy as np
from scipy.ndimage import affine_transform

SIDE = 28


def upright(images: np.ndarray) -> np.ndarray:
    """Return images sheared until they stand upright, and moved to the middle.

    An image's slant is the covariance of its ink's columns with its rows, over the variance of the rows. No
    other image has a part in it, so whoever has the image computes it, and learns nothing by it.

    Parameters
    ----------
    images : ndarray of shape (n_images, 28 * 28)
        None of them empty.

    Returns
    -------
    ndarray of shape (n_images, 28 * 28)
    """
    row, column = np.mgrid[:SIDE, :SIDE]
    middle = np.full(2, (SIDE - 1) / 2)
    found = []
    for image in images.reshape(-1, SIDE, SIDE):
        ink = image / image.sum()
        centre = np.array([np.sum(row * ink), np.sum(column * ink)])
        height = np.sum((row - centre[0]) ** 2 * ink)
        slant = np.sum((row - centre[0]) * (column - centre[1]) * ink) / height
        shear = np.array([[1.0, 0.0], [slant, 1.0]])
        found.append(affine_transform(image, shear, centre - shear @ middle, order=1).ravel())
    return np.array(found)
